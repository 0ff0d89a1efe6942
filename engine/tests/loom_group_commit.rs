//! Every interleaving of the group commit, by model checking.
//!
//! The kernel's own source file is compiled here against loom's locks. Guards the rules: nobody is
//! told "durable" before a sync that began after its append has ended well; after one failure
//! nobody is; nobody waits for ever.

/// What the kernel takes from `crate::sync`, made of loom's types.
#[cfg(test)]
mod sync {
    use std::ops::{Deref, DerefMut};

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap()))
        }
    }

    /// Optional, because waiting gives the guard away and gets it back.
    pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.0.as_deref().unwrap()
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_deref_mut().unwrap()
        }
    }

    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let inner = guard.0.take().unwrap();
            guard.0 = Some(self.0.wait(inner).unwrap());
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

#[path = "../src/wal/group_commit.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the model uses only the kernel's core"
)]
mod group_commit;

use group_commit::{GroupCommit, Refused, Ticket};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A log whose disk remembers what was synced, and can fail at the Nth sync.
struct Log {
    group: GroupCommit<Vec<usize>, &'static str>,
    /// A flag a writer: set when a sync that took its entry ended well.
    durable: [AtomicBool; 3],
    busy: AtomicBool,
    syncs: AtomicUsize,
    fails_at: usize,
}

impl Log {
    fn new(fails_at: usize) -> Arc<Self> {
        Arc::new(Self {
            group: GroupCommit::new(Vec::new()),
            durable: [
                AtomicBool::new(false),
                AtomicBool::new(false),
                AtomicBool::new(false),
            ],
            busy: AtomicBool::new(false),
            syncs: AtomicUsize::new(0),
            fails_at,
        })
    }

    fn append(&self, who: usize) -> Result<Ticket, &'static str> {
        let queued = self.group.append::<()>(|queue| {
            queue.push(who);
            Ok(())
        });
        queued.map_err(|refused| match refused {
            Refused::Poisoned(reason) => reason,
            Refused::Own(()) => unreachable!("the model never refuses"),
        })
    }

    fn wait(&self, ticket: Ticket) -> Result<(), &'static str> {
        self.group
            .wait(ticket, std::mem::take, |batch| self.sync(&batch), |_| {})
    }

    fn sync(&self, batch: &[usize]) -> Result<(), &'static str> {
        assert!(
            !self.busy.swap(true, Ordering::AcqRel),
            "two commits at a time"
        );
        let number = self.syncs.fetch_add(1, Ordering::AcqRel);
        // A place where the other threads may run while the disk works.
        loom::thread::yield_now();
        let outcome = if number >= self.fails_at {
            Err("sync failed")
        } else {
            Ok(())
        };
        if outcome.is_ok() {
            for &who in batch {
                self.durable[who].store(true, Ordering::Release);
            }
        }
        self.busy.store(false, Ordering::Release);
        outcome
    }

    fn write(&self, who: usize) -> Result<(), &'static str> {
        let outcome = self.append(who).and_then(|ticket| self.wait(ticket));
        let durable = self.durable[who].load(Ordering::Acquire);
        assert_eq!(
            outcome.is_ok(),
            durable,
            "writer {who} was told {outcome:?}"
        );
        outcome
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn a_waiter_is_told_durable_only_after_a_sync_of_its_entry() {
    check(|| {
        let log = Log::new(usize::MAX);
        let others: Vec<_> = (1..3)
            .map(|who| {
                let log = Arc::clone(&log);
                loom::thread::spawn(move || log.write(who))
            })
            .collect();
        assert!(log.write(0).is_ok());
        for other in others {
            assert!(other.join().unwrap().is_ok());
        }
    });
}

#[test]
fn one_failed_sync_fails_every_later_waiter() {
    for fails_at in 0..2 {
        check(move || {
            let log = Log::new(fails_at);
            let other = {
                let log = Arc::clone(&log);
                loom::thread::spawn(move || log.write(1))
            };
            let mine = log.write(0);
            let theirs = other.join().unwrap();
            if fails_at == 0 {
                assert!(mine.is_err() && theirs.is_err());
            }
            // Both may have been in one group, so one sync may have been enough.
            let syncs = log.syncs.load(Ordering::Acquire);
            assert!(
                syncs <= fails_at + 1,
                "a sync was tried after one had failed"
            );
            if syncs > fails_at {
                assert!(log.write(2).is_err(), "a poisoned log took another write");
            }
        });
    }
}

#[test]
fn a_waiter_that_queued_twice_is_never_left_behind() {
    check(|| {
        let log = Log::new(usize::MAX);
        let other = {
            let log = Arc::clone(&log);
            loom::thread::spawn(move || log.write(1))
        };
        // Two entries of one writer, waited for in the wrong order.
        let first = log.append(0).unwrap();
        let second = log.append(2).unwrap();
        assert!(log.wait(second).is_ok());
        assert!(log.wait(first).is_ok());
        assert!(other.join().unwrap().is_ok());
    });
}

#[test]
fn poison_wakes_those_who_wait_and_nothing_is_durable_after_it() {
    check(|| {
        let log = Log::new(usize::MAX);
        let writer = {
            let log = Arc::clone(&log);
            loom::thread::spawn(move || {
                let outcome = log.append(1).and_then(|ticket| log.wait(ticket));
                let durable = log.durable[1].load(Ordering::Acquire);
                assert!(outcome.is_err() || durable);
                outcome
            })
        };
        let closer = {
            let log = Arc::clone(&log);
            loom::thread::spawn(move || log.group.poison("closed"))
        };
        closer.join().unwrap();
        assert!(log.write_refused());
        // Ends, one way or the other.
        let _ = writer.join().unwrap();
    });
}

impl Log {
    fn write_refused(&self) -> bool {
        self.append(0).is_err()
    }
}
