//! Time, injected.
//!
//! Wall time is for people (creation dates, audit lines) and orders nothing; it may jump.
//! Monotonic time is for deadlines and intervals and never goes back. Everything that needs
//! either takes a [`Clock`], so that a test decides what time it is.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sync::Mutex;

/// A source of wall time and of monotonic time.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since 1970 by the wall clock; may jump either way.
    fn now_ms(&self) -> u64;

    /// Time since some fixed moment; never decreases.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is what everybody else must go through"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is what everybody else must go through"
    )]
    fn now_ms(&self) -> u64 {
        // A machine set before 1970 gets 0: wall time orders nothing, so that is harmless.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct ManualClock {
    times: Mutex<Times>,
}

#[derive(Debug)]
struct Times {
    wall_ms: u64,
    monotonic: Duration,
}

impl ManualClock {
    /// A clock whose wall time is `wall_ms` and whose monotonic time is zero.
    pub fn new(wall_ms: u64) -> Self {
        Self {
            times: Mutex::new(Times {
                wall_ms,
                monotonic: Duration::ZERO,
            }),
        }
    }

    /// Moves both times on.
    pub fn advance(&self, by: Duration) {
        let mut times = self.times.lock();
        times.monotonic += by;
        times.wall_ms += u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    }

    /// Sets the wall clock, backwards too; monotonic time does not notice.
    pub fn set_wall_ms(&self, wall_ms: u64) {
        self.times.lock().wall_ms = wall_ms;
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.times.lock().wall_ms
    }

    fn monotonic(&self) -> Duration {
        self.times.lock().monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_jump_does_not_move_monotonic_time() {
        let clock = ManualClock::new(1_000);
        clock.advance(Duration::from_millis(5));
        clock.set_wall_ms(10);
        assert_eq!(clock.now_ms(), 10);
        assert_eq!(clock.monotonic(), Duration::from_millis(5));
    }

    #[test]
    fn system_monotonic_time_does_not_go_back() {
        let clock = SystemClock::new();
        let before = clock.monotonic();
        assert!(clock.monotonic() >= before);
        assert!(clock.now_ms() > 1_600_000_000_000);
    }
}
