//! The time a request may take, and the threads that may help it.
//!
//! Long loops ask every few thousand rows, so that a query over a large segment ends soon after its
//! deadline, and the clock costs nothing that can be measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::Clock;
use rayon::ThreadPool;

use crate::error::QueryError;
use crate::later::Later;
use crate::parallel::PAYS_NS;
use crate::request::Env;

/// Rows scanned between two looks at the clock: about a millisecond of distances.
pub(crate) const SCAN_ROWS: usize = 8_192;

/// Payloads read between two looks at the clock: some hundreds of microseconds.
pub(crate) const PAYLOAD_ROWS: usize = 1_024;

/// Payloads tested between two looks at the clock: each may be as long as a request.
pub(crate) const TESTED_ROWS: usize = 64;

/// Texts of a dictionary asked between two looks at the clock; cut into tokens, each may take
/// microseconds.
pub(crate) const ASKED_TEXTS: usize = 1_024;

/// Corners of polygons walked between two looks at the clock: some tens of microseconds.
pub(crate) const WALKED_CORNERS: usize = 16_384;

/// Blocks of payloads read from files, of whatever threads of a request.
#[derive(Debug, Default)]
pub(crate) struct ColdReads {
    reads: AtomicU64,
    bytes: AtomicU64,
}

impl ColdReads {
    fn add(&self, (reads, bytes): (u64, u64)) {
        self.reads.fetch_add(reads, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Reads and bytes since the last time.
    pub(crate) fn take(&self) -> (u64, u64) {
        let reads = self.reads.swap(0, Ordering::Relaxed);
        (reads, self.bytes.swap(0, Ordering::Relaxed))
    }
}

/// When to give up, if ever.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Budget<'a> {
    deadline: Option<(&'a dyn Clock, Duration)>,
    pool: Option<&'a ThreadPool>,
    later: Option<&'a Later>,
    cold: Option<&'a ColdReads>,
}

impl<'a> Budget<'a> {
    /// For work that the size of the request bounds.
    pub(crate) const UNLIMITED: Self = Self {
        deadline: None,
        pool: None,
        later: None,
        cold: None,
    };

    /// The budget of a request.
    pub(crate) fn new(env: &Env<'a>) -> Self {
        Self {
            deadline: env.deadline.map(|deadline| (env.clock, deadline)),
            pool: Some(env.pool),
            later: env.later,
            cold: None,
        }
    }

    /// The same for somebody who asks what is read from files.
    pub(crate) fn counting(self, cold: &'a ColdReads) -> Self {
        Self {
            cold: Some(cold),
            ..self
        }
    }

    /// Notes what a reader of payloads has read from files.
    pub(crate) fn note_cold(&self, reads: (u64, u64)) {
        if let Some(cold) = self.cold {
            cold.add(reads);
        }
    }

    /// Where to leave work that the answer does not need, if anywhere.
    pub(crate) fn later(&self) -> Option<&'a Later> {
        self.later
    }

    /// The pool, if work of about `cost_ns` is worth sharing evenly among its threads.
    pub(crate) fn helpers(&self, cost_ns: f64) -> Option<&'a ThreadPool> {
        self.pool.filter(|pool| {
            let threads = pool.current_num_threads();
            threads > 1 && cost_ns - cost_ns / threads as f64 >= PAYS_NS
        })
    }

    /// Fails once the deadline is over.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        match self.deadline {
            Some((clock, deadline)) if clock.monotonic() >= deadline => Err(QueryError::Deadline),
            _ => Ok(()),
        }
    }
}
