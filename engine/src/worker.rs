//! Background steps, and the threads that pull them.
//!
//! A step is a short, whole piece of background work: one flush, one compaction job, one sweep
//! of retired files. Production threads pull steps until there are none and then sleep; tests
//! run the same steps on their own thread.
//!
//! # Invariants
//! - A step that fails is tried again later; its error stands in the collection's status.
//! - One flush and at most `jobs_max` compaction jobs of a shard run at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::db::Inner;
use crate::error::{Error, Result};

/// Longest sleep between two looks for work: idle markers and idle seals need a clock.
const TICK: Duration = Duration::from_millis(50);

/// Wakes sleeping workers.
#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    rang: Mutex<bool>,
    bell: Condvar,
    stop: AtomicBool,
}

impl Wakeup {
    /// There may be work.
    pub(crate) fn notify(&self) {
        *self.rang.lock() = true;
        self.bell.notify_all();
    }

    /// Ends all workers.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.notify();
    }

    /// Whether the workers are to end; long jobs ask now and then.
    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn wait(&self) {
        let mut rang = self.rang.lock();
        if !*rang && !self.stopping() {
            self.bell.wait_for(&mut rang, TICK);
        }
        *rang = false;
    }
}

/// Which steps a thread pulls.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum StepKind {
    /// Flushes, retiring of files, markers: what frees memory and the WAL.
    Flush,
    /// Compaction jobs: merges, graphs, columns.
    Compact,
}

/// Starts `workers` named threads; the first one only flushes, so that no merge delays it.
pub(crate) fn start(inner: &Arc<Inner>, workers: usize) -> Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::with_capacity(workers);
    for number in 0..workers {
        let (kind, name) = match number {
            0 => (StepKind::Flush, "cairn-flush".to_owned()),
            _ => (StepKind::Compact, format!("cairn-compact-{number}")),
        };
        let inner = Arc::clone(inner);
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || pull(&inner, kind, workers == 1));
        threads.push(thread.map_err(|error| Error::io("start thread", "", error))?);
    }
    Ok(threads)
}

/// Pulls steps of one kind, or of both when there is no other thread.
fn pull(inner: &Inner, kind: StepKind, alone: bool) {
    while !inner.wakeup().stopping() {
        if !(inner.step(kind) || alone && inner.step(StepKind::Compact)) {
            inner.wakeup().wait();
        }
    }
}
