//! The locks and cells that concurrent kernels are written against.
//!
//! A kernel ([`crate::wal::group_commit`], [`crate::publish`]) imports from here and from nowhere
//! else, so that a model checker can compile the same file against its own types: the loom tests
//! include the kernel by path and give it a `sync` module with this interface.

pub use parking_lot::{Condvar, Mutex, MutexGuard};
pub use std::sync::Arc;

/// One `Arc` that is read without a lock and replaced whole.
#[derive(Debug)]
pub struct ArcCell<T>(arc_swap::ArcSwap<T>);

impl<T> ArcCell<T> {
    /// A cell holding `value`.
    pub fn new(value: Arc<T>) -> Self {
        Self(arc_swap::ArcSwap::new(value))
    }

    /// The current value. Wait-free; never blocks a writer.
    pub fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the value and returns the one before.
    ///
    /// When this returns, every reader that got the old value has a counted reference to it: the
    /// swap pays the debts of readers that were in the middle of `load`.
    pub fn swap(&self, value: Arc<T>) -> Arc<T> {
        self.0.swap(value)
    }
}

#[cfg(test)]
mod tests {
    //! The version cell on these primitives; every interleaving is in `tests/loom_publish.rs`.

    use std::sync::Arc;

    use crate::publish::{Cell, Retired};

    #[test]
    fn a_reader_keeps_its_state_and_its_parts() {
        let part = Arc::new(7);
        let cell = Cell::new(vec![Arc::clone(&part)]);
        let retired = Retired::default();
        let reader = cell.load();
        cell.publish(|_| Vec::new());
        retired.add(part);
        assert!(retired.sweep(|_| false).is_empty());
        assert_eq!(*reader[0], 7);
        drop(reader);
        assert!(
            retired.sweep(|_| true).is_empty(),
            "a manifest still lists it"
        );
        assert_eq!(retired.sweep(|_| false).len(), 1);
        assert!(retired.is_empty() && cell.load().is_empty());
    }
}
