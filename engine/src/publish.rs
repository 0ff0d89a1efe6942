//! The version cell: readers take the current state in one step, writers replace it one after the
//! other, and what a state held on to is free for removal when its last holder lets go.
//!
//! ```text
//! readers   load ────────────── use ─────────── drop
//! writer        publish(v2)   retire(part of v1)      sweep() = [part]: its file may go
//! ```
//!
//! This file does no I/O and takes its primitives from `crate::sync` alone;
//! `tests/loom_publish.rs` tries every interleaving of readers, writers and sweeps.
//!
//! # Invariants
//! - A reader's state, and everything it holds, stays whole for as long as the reader holds it.
//! - A part is retired after a state that does not hold it was published, so nobody who does not
//!   hold it already can come to hold it; once the retired list is its only holder, it stays so.

use crate::sync::{Arc, ArcCell, Mutex};

/// A state that is read without a lock and replaced whole.
#[derive(Debug)]
pub struct Cell<T> {
    current: ArcCell<T>,
    /// Makes "read, change, replace" one step among writers.
    writers: Mutex<()>,
}

impl<T> Cell<T> {
    /// A cell that holds `value`.
    pub fn new(value: T) -> Self {
        Self {
            current: ArcCell::new(Arc::new(value)),
            writers: Mutex::new(()),
        }
    }

    /// The current state.
    pub fn load(&self) -> Arc<T> {
        self.current.load()
    }

    /// Replaces the state by what `next` makes of it. The one before goes with its last reader.
    pub fn publish(&self, next: impl FnOnce(&T) -> T) {
        let writing = self.writers.lock();
        let next = Arc::new(next(&self.current.load()));
        let before = self.current.swap(next);
        drop(writing);
        drop(before);
    }
}

/// Parts that no state published from now on holds, waiting for their last reader.
#[derive(Debug)]
pub struct Retired<P> {
    parts: Mutex<Vec<Arc<P>>>,
}

impl<P> Default for Retired<P> {
    fn default() -> Self {
        Self {
            parts: Mutex::new(Vec::new()),
        }
    }
}

impl<P> Retired<P> {
    /// Notes a part that the current state does not hold any more.
    pub fn add(&self, part: Arc<P>) {
        self.parts.lock().push(part);
    }

    /// Parts waiting.
    pub fn len(&self) -> usize {
        self.parts.lock().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes out the parts that nobody reads and that `wanted` does not keep.
    pub fn sweep(&self, wanted: impl Fn(&P) -> bool) -> Vec<Arc<P>> {
        let mut parts = self.parts.lock();
        let waiting = std::mem::take(&mut *parts);
        let mut free = Vec::new();
        for part in waiting {
            if Arc::strong_count(&part) == 1 && !wanted(&part) {
                free.push(part);
            } else {
                parts.push(part);
            }
        }
        free
    }
}
