//! Attempt: part files that were written for a manifest which then was not installed are removed,
//! so that a full or failing disk does not fill up with what every try leaves behind.
//!
//! # Invariants
//! - Parts of an attempt are written on the thread that makes it.
//! - Nothing is removed once a manifest that lists it may be on the disk.

use std::cell::RefCell;

use crate::error::Result;
use crate::storage::Storage;

thread_local! {
    /// Paths of the parts written by the attempt that this thread makes.
    static WRITTEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Does `work`; when it fails, removes the parts that it has written and not [`keep`]t.
///
/// # Errors
/// Those of `work`.
pub(crate) fn attempt<T>(storage: &dyn Storage, work: impl FnOnce() -> Result<T>) -> Result<T> {
    keep();
    let outcome = work();
    let written = WRITTEN.take();
    if outcome.is_err() {
        for path in written {
            // What stays is an orphan, removed at the next start.
            if let Err(error) = storage.remove_file(&path) {
                tracing::warn!(path, error = %error.chain(), "part of a failed try not removed");
            }
        }
    }
    outcome
}

/// Notes a part that is written whole.
pub(crate) fn note(path: String) {
    WRITTEN.with_borrow_mut(|written| written.push(path));
}

/// Leaves everything noted so far alone: a manifest lists it, or may.
pub(crate) fn keep() {
    WRITTEN.with_borrow_mut(Vec::clear);
}
