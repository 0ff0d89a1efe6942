//! Later: work that requests leave behind, so that they do not wait for what only the next ones
//! gain by.
//!
//! # Invariants
//! - Work is done piece by piece, the oldest first; where and when is the caller's choice.
//! - Work beyond [`WAITING_MAX`] pieces is dropped: a later request leaves it again.

use std::collections::VecDeque;
use std::fmt;

use parking_lot::Mutex;

/// Work that may wait.
const WAITING_MAX: usize = 64;

/// Work in pieces.
pub(crate) trait Work: Send {
    /// Does the next piece; gives back what is left. A piece is bounded by rows, not by time: that
    /// of a column reads 2,048 payloads, a few milliseconds, and its last one sorts and writes what
    /// was read, at most a quarter of the room for such columns.
    fn step(self: Box<Self>) -> Option<Box<dyn Work>>;
}

/// Work that requests leave behind.
#[derive(Default)]
pub struct Later {
    waiting: Mutex<VecDeque<Box<dyn Work>>>,
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Later({})", self.waiting.lock().len())
    }
}

impl Later {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// Does a piece of the oldest work; tells whether more waits.
    pub fn step(&self) -> bool {
        let work = self.waiting.lock().pop_front();
        let left = work.and_then(Work::step);
        let mut waiting = self.waiting.lock();
        if let Some(left) = left {
            waiting.push_front(left);
        }
        !waiting.is_empty()
    }

    pub(crate) fn leave(&self, work: Box<dyn Work>) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < WAITING_MAX {
            waiting.push_back(work);
        }
    }
}
