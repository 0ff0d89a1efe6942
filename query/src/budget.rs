//! The time a request may take.
//!
//! Long loops ask every few thousand rows, so that a query over a large segment ends soon after its
//! deadline, and the clock costs nothing that can be measured.

use std::time::Duration;

use engine::Clock;

use crate::error::QueryError;
use crate::request::Env;

/// Rows scanned between two looks at the clock: about a millisecond of distances.
pub(crate) const SCAN_ROWS: usize = 8_192;

/// Payloads read between two looks at the clock: some hundreds of microseconds.
pub(crate) const PAYLOAD_ROWS: usize = 1_024;

/// When to give up, if ever.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Budget<'a> {
    deadline: Option<(&'a dyn Clock, Duration)>,
}

impl<'a> Budget<'a> {
    /// For work that the size of the request bounds.
    pub(crate) const UNLIMITED: Self = Self { deadline: None };

    /// The budget of a request.
    pub(crate) fn new(env: &Env<'a>) -> Self {
        Self {
            deadline: env.deadline.map(|deadline| (env.clock, deadline)),
        }
    }

    /// Fails once the deadline is over.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        match self.deadline {
            Some((clock, deadline)) if clock.monotonic() >= deadline => Err(QueryError::Deadline),
            _ => Ok(()),
        }
    }
}
