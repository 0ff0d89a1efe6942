//! PayloadCache: decompressed payload blocks of recent hits, for the hits that come next.
//!
//! Hits ask for single rows, and a block has to be read and decompressed whole for each of them.
//! Blocks are told apart by the content hash of their part, so that a part that is opened again
//! finds its own. Passes over many rows (filters, jobs) neither look nor leave anything here.
//!
//! # Invariants
//! - The blocks take no more bytes than the cache was given, but for rounding its shards up.
//! - What is here was verified, and its table of ends checked.
//! - Which block gives way depends on what was asked for, not on chance.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

/// Bytes of a block, about: its payloads, and more where one payload is longer.
const BLOCK_BYTES: u64 = 16 << 10;
/// What a block takes beside its bytes, about: its places in the cache, allocation.
const BESIDE: u64 = 128;

/// A block of a payload part.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct BlockKey {
    /// First bytes of the content hash of the part.
    pub(crate) part: u128,
    /// Number of the block.
    pub(crate) block: u32,
}

/// What a block takes in memory.
#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<BlockKey, Arc<Vec<u8>>> for Bytes {
    fn weight(&self, _: &BlockKey, block: &Arc<Vec<u8>>) -> u64 {
        block.capacity() as u64 + BESIDE
    }
}

/// With keys that are as good as random already, and the same in each process.
type Hashes = BuildHasherDefault<DefaultHasher>;

/// Blocks within a budget of bytes.
#[derive(Debug)]
pub(crate) struct PayloadCache(Cache<BlockKey, Arc<Vec<u8>>, Bytes, Hashes>);

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
        let blocks = usize::try_from(bytes_max / BLOCK_BYTES).unwrap_or(usize::MAX);
        let (hashes, lifecycle) = (Hashes::default(), DefaultLifecycle::default());
        Self(Cache::with(blocks, bytes_max, Bytes, hashes, lifecycle))
    }

    /// The block, if it is here.
    pub(crate) fn get(&self, key: BlockKey) -> Option<Arc<Vec<u8>>> {
        self.0.get(&key)
    }

    /// Whether the block is here; does not count as asking for it.
    pub(crate) fn has(&self, key: BlockKey) -> bool {
        self.0.contains_key(&key)
    }

    /// Keeps a block, unless it is too large: above the share of one of the cache's shards, which
    /// is half a megabyte at least where the cache has that.
    pub(crate) fn put(&self, key: BlockKey, block: &Arc<Vec<u8>>) {
        self.0.insert(key, Arc::clone(block));
    }

    /// What it has and did.
    pub(crate) fn figures(&self) -> PayloadCacheFigures {
        PayloadCacheFigures {
            bytes: self.0.weight(),
            hits: self.0.hits(),
            misses: self.0.misses(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 16_256;
    const BYTES: u64 = 1 << 20;

    fn key(block: u32) -> BlockKey {
        BlockKey { part: 7, block }
    }

    fn block(number: u32, len: usize) -> Arc<Vec<u8>> {
        Arc::new(vec![number as u8; len])
    }

    /// Asks for each of `kept` and then lets `passing` through, again and again.
    fn pass(cache: &PayloadCache, kept: &[u32], passing: std::ops::Range<u32>) {
        for number in passing {
            for &kept in kept {
                match cache.get(key(kept)) {
                    Some(found) => assert!(found.iter().all(|&byte| byte == kept as u8)),
                    None => cache.put(key(kept), &block(kept, LEN)),
                }
            }
            cache.put(key(number), &block(number, LEN - number as usize));
            assert!(cache.figures().bytes <= BYTES);
        }
    }

    #[test]
    fn blocks_stay_within_the_budget_and_those_asked_for_again_stay() {
        let passed = || {
            let cache = PayloadCache::new(BYTES);
            pass(&cache, &[2, 5], 100..5_000);
            let early = cache.figures();
            pass(&cache, &[7, 9], 5_000..10_000);
            (cache, early)
        };
        let (cache, early) = passed();
        assert_eq!(early.hits + early.misses, 9_800);
        assert!(early.misses < 10, "{early:?}");
        // What was wanted long ago does not hold up what is wanted now.
        let late = cache.figures();
        assert_eq!(late.hits + late.misses, 19_800);
        assert!(late.misses - early.misses < 10, "{late:?}");
        assert!(cache.has(key(7)) && cache.has(key(9)));
        let left = |cache: &PayloadCache| -> Vec<u32> {
            (0..10_000).filter(|&block| cache.has(key(block))).collect()
        };
        assert!(left(&cache).len() > BYTES as usize / LEN / 2);
        assert_eq!(left(&cache), left(&passed().0));
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_of_nothing_nothing() {
        let cache = PayloadCache::new(256 << 10);
        cache.put(key(1), &block(1, 300 << 10));
        cache.put(key(2), &block(2, LEN));
        assert!(!cache.has(key(1)) && cache.has(key(2)));
        let none = PayloadCache::new(0);
        none.put(key(1), &block(1, 0));
        assert!(!none.has(key(1)));
        assert_eq!(none.figures().bytes, 0);
    }
}
