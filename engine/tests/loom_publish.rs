//! Every interleaving of readers, a writer and the reclaiming of old versions, by model checking.
//!
//! The cell's own source file is compiled here against loom's types. Guards the rule: a file goes
//! only when no reader holds a version that names it, and it does go in the end.

/// What the cell takes from `crate::sync`, made of loom's types.
#[cfg(test)]
mod sync {
    pub(crate) use loom::sync::Arc;

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    /// Stands for the lock-free swap: one atomic step to read, one to replace.
    #[derive(Debug)]
    pub(crate) struct ArcCell<T>(loom::sync::Mutex<Arc<T>>);

    impl<T> ArcCell<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn load(&self) -> Arc<T> {
            Arc::clone(&self.0.lock().unwrap())
        }

        pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
            std::mem::replace(&mut self.0.lock().unwrap(), value)
        }
    }
}

#[path = "../src/publish.rs"]
#[expect(unreachable_pub, reason = "it is public where it lives")]
mod publish;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use std::convert::Infallible;

/// A version names files 0 and up to its number; file `n` is dropped by version `n + 1`.
struct Version {
    number: usize,
}

struct Disk {
    cell: publish::Cell<Version>,
    /// Whether the file that version `n` names, and later ones do not, is there.
    exists: [AtomicBool; 3],
}

impl Disk {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            cell: publish::Cell::new(Version { number: 0 }),
            exists: [
                AtomicBool::new(true),
                AtomicBool::new(true),
                AtomicBool::new(true),
            ],
        })
    }

    fn install(&self) {
        let next = |now: &Version| {
            Ok::<_, Infallible>(Version {
                number: now.number + 1,
            })
        };
        self.cell.publish(next).unwrap();
    }

    fn retire(&self) {
        for version in self.cell.reclaim() {
            assert!(
                self.exists[version.number].swap(false, Ordering::AcqRel),
                "removed twice"
            );
        }
    }

    fn read(&self) -> usize {
        let version = self.cell.load();
        loom::thread::yield_now();
        let exists = self.exists[version.number].load(Ordering::Acquire);
        assert!(
            exists,
            "the file of version {} went under its reader",
            version.number
        );
        version.number
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn a_file_goes_only_when_no_reader_holds_its_version() {
    check(|| {
        let disk = Disk::new();
        let reader = {
            let disk = Arc::clone(&disk);
            loom::thread::spawn(move || disk.read())
        };
        let writer = {
            let disk = Arc::clone(&disk);
            loom::thread::spawn(move || {
                disk.install();
                disk.retire();
            })
        };
        disk.read();
        reader.join().unwrap();
        writer.join().unwrap();
        disk.retire();
        assert!(
            !disk.exists[0].load(Ordering::Acquire),
            "nobody holds version 0, its file stays"
        );
        assert!(disk.exists[1].load(Ordering::Acquire));
    });
}

#[test]
fn two_writers_lose_no_version_and_readers_see_them_in_order() {
    check(|| {
        let disk = Disk::new();
        let writer = {
            let disk = Arc::clone(&disk);
            loom::thread::spawn(move || {
                disk.install();
                disk.retire();
            })
        };
        let reader = {
            let disk = Arc::clone(&disk);
            loom::thread::spawn(move || {
                let first = disk.read();
                assert!(disk.read() >= first);
            })
        };
        disk.install();
        writer.join().unwrap();
        reader.join().unwrap();
        disk.retire();
        assert_eq!(disk.read(), 2);
        let gone = |number: usize| !disk.exists[number].load(Ordering::Acquire);
        assert!(gone(0) && gone(1) && !gone(2));
        assert_eq!(disk.cell.superseded(), 0);
    });
}
