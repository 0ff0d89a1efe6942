//! Coded graphs in memory: made from graph and codes of a segment when there is time and room.
//!
//! # Invariants
//! - The bytes of all coded graphs of a data directory stay within a budget; a segment that finds
//!   no room is searched without.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use index::CodedGraph;
use parking_lot::{Mutex, MutexGuard};

/// Room for coded graphs, shared by all shards.
#[derive(Debug)]
pub(crate) struct CodedRoom {
    most: u64,
    taken: AtomicU64,
    making: Mutex<()>,
}

impl CodedRoom {
    /// Room for `most` bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self {
            most,
            taken: AtomicU64::new(0),
            making: Mutex::new(()),
        }
    }

    /// One coded graph is made at a time, so that no two threads make the same.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.making.lock()
    }

    /// Takes room, if there is that much.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<CodedPlace> {
        let more = |taken: u64| taken.checked_add(bytes).filter(|&sum| sum <= self.most);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.taken.fetch_update(set, get, more).ok()?;
        Some(CodedPlace {
            room: Arc::clone(self),
            bytes,
        })
    }

    /// Bytes taken.
    #[cfg(test)]
    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Room that was taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct CodedPlace {
    room: Arc<CodedRoom>,
    bytes: u64,
}

impl Drop for CodedPlace {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A coded graph and its room; without a graph where there are no sound parts to make it from.
#[derive(Debug)]
pub(crate) struct Coded {
    pub(crate) graph: Option<CodedGraph>,
    pub(crate) _place: Option<CodedPlace>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_and_given_back() {
        let room = Arc::new(CodedRoom::new(10));
        let first = room.take(6);
        assert!(first.is_some() && room.take(5).is_none());
        drop(first);
        assert!(room.take(10).is_some());
        assert_eq!(room.taken(), 0);
    }
}
