//! The version cell: readers take the current value in one step, writers replace it one after the
//! other, and what was replaced is kept until its last reader lets go.
//!
//! ```text
//! readers   load ───────────────── use ───────── drop
//! writer        publish(v2): v1 is superseded         reclaim() = [v1]: its files may go
//! ```
//!
//! Like the group commit this file does no I/O and takes its primitives from `crate::sync` alone;
//! `tests/loom_publish.rs` tries every interleaving of readers, writers and reclaiming.
//!
//! # Invariants
//! - A reader's value stays whole for as long as the reader holds it, whatever is published.
//! - A superseded value is handed out by [`Cell::reclaim`] only when nobody else holds it, and only
//!   after all older ones: a file that an older value needs is then never removed under it.

use std::collections::VecDeque;

use crate::sync::{Arc, ArcCell, Mutex};

/// A value that is read without a lock and replaced whole.
#[derive(Debug)]
pub struct Cell<T> {
    current: ArcCell<T>,
    /// Values that were replaced, oldest first. Also the lock of the writers.
    superseded: Mutex<VecDeque<Arc<T>>>,
}

impl<T> Cell<T> {
    /// A cell that holds `value`.
    pub fn new(value: T) -> Self {
        Self {
            current: ArcCell::new(Arc::new(value)),
            superseded: Mutex::new(VecDeque::new()),
        }
    }

    /// The current value.
    pub fn load(&self) -> Arc<T> {
        self.current.load()
    }

    /// Replaces the value by what `next` makes of it, and returns the new one.
    ///
    /// # Errors
    /// What `next` says; the value then stays as it is.
    pub fn publish<E>(&self, next: impl FnOnce(&T) -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut superseded = self.superseded.lock();
        let now = Arc::new(next(&self.current.load())?);
        let before = self.current.swap(Arc::clone(&now));
        superseded.push_back(before);
        Ok(now)
    }

    /// The superseded values that nobody holds any more, oldest first; none is returned twice.
    pub fn reclaim(&self) -> Vec<T> {
        let mut superseded = self.superseded.lock();
        let mut free = Vec::new();
        while let Some(oldest) = superseded.pop_front() {
            // After the swap no new holder can appear except from an old one, so a value that is
            // held by this queue alone stays so.
            match Arc::try_unwrap(oldest) {
                Ok(value) => free.push(value),
                Err(held) => {
                    superseded.push_front(held);
                    break;
                }
            }
        }
        free
    }

    /// How many superseded values are still held, or not reclaimed yet.
    pub fn superseded(&self) -> usize {
        self.superseded.lock().len()
    }
}
