//! PayloadCache: decompressed payload blocks of recent hits, for the hits that come next.
//!
//! Hits ask for single rows, and a block has to be read and decompressed whole for each of them.
//! Blocks are told apart by the content hash of their part, so that a part that is opened again
//! finds its own. Passes over many rows (filters, jobs) neither look nor leave anything here.
//!
//! Which block gives way is found by a hand that goes round (CLOCK): it passes over those that
//! were asked for since it last came, and a new one was not: what is asked for once goes first.
//!
//! # Invariants
//! - The blocks take no more bytes than the cache was given.
//! - What is here was verified, and its table of ends checked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Locks over which blocks are spread.
const SHARDS: usize = 8;
/// A block takes at most this share of a shard: a huge one would push all others out.
const SHARE_OF_SHARD: usize = 4;
/// What a block takes beside its bytes, about: slot, entry of the index, allocation.
const BESIDE: usize = 128;

/// A block of a payload part.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct BlockKey {
    /// First bytes of the content hash of the part.
    pub(crate) part: u128,
    /// Number of the block.
    pub(crate) block: u32,
}

/// Blocks within a budget of bytes.
#[derive(Debug)]
pub(crate) struct PayloadCache {
    shards: [Mutex<Shard>; SHARDS],
    shard_bytes_max: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    slots: Vec<Slot>,
    places: HashMap<BlockKey, usize>,
    hand: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    key: BlockKey,
    block: Arc<Vec<u8>>,
    /// Asked for since the hand last came.
    used: bool,
}

/// What a cache has, and how often it helped.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct PayloadCacheFigures {
    /// Bytes of the blocks in it.
    pub bytes: u64,
    /// Blocks that were asked for and there.
    pub hits: u64,
    /// Blocks that were asked for and had to be decompressed.
    pub misses: u64,
}

impl PayloadCache {
    /// A cache for `bytes_max` bytes; with 0 it stays empty.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Self {
            shards: Default::default(),
            shard_bytes_max: bytes_max / SHARDS,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The block, if it is here.
    pub(crate) fn get(&self, key: BlockKey) -> Option<Arc<Vec<u8>>> {
        let found = self.shard(key).lock().get(key);
        let counter = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Whether the block is here; does not count as asking for it.
    pub(crate) fn has(&self, key: BlockKey) -> bool {
        self.shard(key).lock().places.contains_key(&key)
    }

    /// Keeps a block, unless it is too large.
    pub(crate) fn put(&self, key: BlockKey, block: &Arc<Vec<u8>>) {
        let bytes = bytes_of(block);
        if bytes <= self.shard_bytes_max / SHARE_OF_SHARD {
            self.shard(key).lock().put(key, block, self.shard_bytes_max);
        }
    }

    /// What it has and did.
    pub(crate) fn figures(&self) -> PayloadCacheFigures {
        let bytes = self.shards.iter().map(|shard| shard.lock().bytes as u64);
        PayloadCacheFigures {
            bytes: bytes.sum(),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    fn shard(&self, key: BlockKey) -> &Mutex<Shard> {
        // The hash is as good as random; neighbouring blocks go to different shards.
        &self.shards[(key.part as usize ^ key.block as usize) % SHARDS]
    }
}

/// What a block takes in memory.
fn bytes_of(block: &Vec<u8>) -> usize {
    block.capacity() + BESIDE
}

impl Shard {
    fn get(&mut self, key: BlockKey) -> Option<Arc<Vec<u8>>> {
        let slot = &mut self.slots[*self.places.get(&key)?];
        slot.used = true;
        Some(Arc::clone(&slot.block))
    }

    fn put(&mut self, key: BlockKey, block: &Arc<Vec<u8>>, bytes_max: usize) {
        let bytes = bytes_of(block);
        if self.places.contains_key(&key) {
            return;
        }
        while self.bytes + bytes > bytes_max {
            self.evict_one();
        }
        self.bytes += bytes;
        self.places.insert(key, self.slots.len());
        self.slots.push(Slot {
            key,
            block: Arc::clone(block),
            used: false,
        });
    }

    fn evict_one(&mut self) {
        loop {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let slot = &mut self.slots[self.hand];
            if !slot.used {
                break;
            }
            slot.used = false;
            self.hand += 1;
        }
        let gone = self.slots.swap_remove(self.hand);
        self.places.remove(&gone.key);
        self.bytes -= bytes_of(&gone.block);
        // The newest took its place; it is the last that the hand should come to.
        if let Some(moved) = self.slots.get(self.hand) {
            self.places.insert(moved.key, self.hand);
            self.hand += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(block: u32) -> BlockKey {
        // One shard: the part takes the block's bits back out.
        BlockKey {
            part: u128::from(block % SHARDS as u32),
            block,
        }
    }

    fn block(number: u32, len: usize) -> Arc<Vec<u8>> {
        Arc::new(vec![number as u8; len])
    }

    #[test]
    fn blocks_stay_within_the_budget_and_those_asked_for_again_stay_longest() {
        let len = 1024 - BESIDE;
        let cache = PayloadCache::new(8 * 1024 * SHARDS as u64);
        for number in 0..8 {
            cache.put(key(number), &block(number, len));
        }
        assert_eq!(cache.figures().bytes, 8 * 1024);
        // A pass over many others, with two that are asked for now and then.
        for number in 8..100 {
            for kept in [2, 5] {
                assert_eq!(cache.get(key(kept)).unwrap()[0], kept as u8);
            }
            cache.put(key(number), &block(number, len));
            assert!(cache.figures().bytes <= 8 * 1024);
            assert_eq!(cache.get(key(number)).unwrap()[0], number as u8);
        }
        assert!(!cache.has(key(1)));
        let figures = cache.figures();
        assert_eq!((figures.hits, figures.misses), (92 * 3, 0));
        assert!(cache.get(key(1)).is_none());
        assert_eq!(cache.figures().misses, 1);
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_of_nothing_nothing() {
        let cache = PayloadCache::new(8 * 1024 * SHARDS as u64);
        cache.put(key(1), &block(1, 3000));
        cache.put(key(2), &block(2, 1000));
        assert!(!cache.has(key(1)) && cache.has(key(2)));
        let none = PayloadCache::new(0);
        none.put(key(1), &block(1, 0));
        assert!(!none.has(key(1)));
        assert_eq!(none.figures().bytes, 0);
    }

    #[test]
    fn places_stay_right_however_blocks_come_and_go() {
        let cache = PayloadCache::new(40_000 * SHARDS as u64);
        let mut next = 1_u64;
        for step in 0..20_000_u32 {
            next = next
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(step.into());
            let number = (next >> 33) as u32 % 300;
            let found = cache.get(key(number));
            match found {
                Some(found) => assert!(found.iter().all(|&byte| byte == number as u8)),
                None => cache.put(key(number), &block(number, 100 + number as usize * 3)),
            }
            assert!(cache.figures().bytes <= 40_000);
        }
        assert!(cache.figures().hits > 3000);
    }
}
