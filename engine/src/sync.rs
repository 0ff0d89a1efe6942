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

    use crate::publish::Cell;
    use std::convert::Infallible;

    fn set(cell: &Cell<u32>, value: u32) {
        let outcome: Result<_, Infallible> = cell.publish(|_| Ok(value));
        outcome.unwrap();
    }

    #[test]
    fn a_reader_keeps_its_value_and_those_after_it_from_being_reclaimed() {
        let cell = Cell::new(1);
        let reader = cell.load();
        set(&cell, 2);
        set(&cell, 3);
        assert_eq!(cell.reclaim(), Vec::<u32>::new());
        assert_eq!((*reader, *cell.load()), (1, 3));
        drop(reader);
        assert_eq!(cell.reclaim(), vec![1, 2]);
        assert_eq!(cell.superseded(), 0);
    }

    #[test]
    fn a_failed_publish_changes_nothing() {
        let cell = Cell::new(1);
        assert!(cell.publish(|_| Err("no")).is_err());
        assert_eq!((*cell.load(), cell.superseded()), (1, 0));
    }
}
