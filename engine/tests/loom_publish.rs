//! Every interleaving of readers, writers and sweeps of retired parts, by model checking.
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

/// A file: whether its name is still there.
struct Part {
    exists: AtomicBool,
}

impl Part {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            exists: AtomicBool::new(true),
        })
    }
}

/// A state names some parts.
struct State {
    number: usize,
    parts: Vec<Arc<Part>>,
}

struct Shard {
    cell: publish::Cell<State>,
    retired: publish::Retired<Part>,
}

impl Shard {
    fn new(parts: Vec<Arc<Part>>) -> Arc<Self> {
        let cell = publish::Cell::new(State { number: 0, parts });
        Arc::new(Self {
            cell,
            retired: publish::Retired::default(),
        })
    }

    /// Publishes a state without the first part, and retires that part.
    fn drop_first_part(&self) {
        let part = Arc::clone(&self.cell.load().parts[0]);
        self.cell.publish(|state| State {
            number: state.number + 1,
            parts: state.parts[1..].to_vec(),
        });
        self.retired.add(part);
    }

    fn sweep(&self) {
        for part in self.retired.sweep(|_| false) {
            assert!(part.exists.swap(false, Ordering::AcqRel), "removed twice");
        }
    }

    fn read(&self) -> usize {
        let state = self.cell.load();
        loom::thread::yield_now();
        for part in &state.parts {
            let exists = part.exists.load(Ordering::Acquire);
            assert!(
                exists,
                "a part of state {} went under its reader",
                state.number
            );
        }
        state.number
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn a_file_goes_only_when_no_reader_holds_it() {
    check(|| {
        let kept = Part::new();
        let shard = Shard::new(vec![Part::new(), Arc::clone(&kept)]);
        let reader = {
            let shard = Arc::clone(&shard);
            loom::thread::spawn(move || shard.read())
        };
        let writer = {
            let shard = Arc::clone(&shard);
            loom::thread::spawn(move || {
                shard.drop_first_part();
                shard.sweep();
            })
        };
        shard.read();
        reader.join().unwrap();
        writer.join().unwrap();
        shard.sweep();
        assert!(shard.retired.is_empty(), "nobody reads it, and it stays");
        assert!(kept.exists.load(Ordering::Acquire));
    });
}

#[test]
fn two_writers_lose_no_state_and_readers_see_them_in_order() {
    check(|| {
        let shard = Shard::new(Vec::new());
        let next = |state: &State| State {
            number: state.number + 1,
            parts: Vec::new(),
        };
        let writer = {
            let shard = Arc::clone(&shard);
            loom::thread::spawn(move || shard.cell.publish(next))
        };
        let reader = {
            let shard = Arc::clone(&shard);
            loom::thread::spawn(move || {
                let first = shard.read();
                assert!(shard.read() >= first);
            })
        };
        shard.cell.publish(next);
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(shard.read(), 2);
    });
}
