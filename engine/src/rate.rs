//! RateLimit: how many bytes a second the background may write.
//!
//! The limit is read anew at every take, so a change through the API holds at once. A flush is
//! counted but never waits, because writers wait for it: the jobs pay for what it wrote.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;

thread_local! {
    static URGENT: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` without waiting for any limit on this thread.
pub(crate) fn urgently<T>(work: impl FnOnce() -> T) -> T {
    let before = URGENT.replace(true);
    let done = work();
    URGENT.set(before);
    done
}

/// Longest sleep at once, so that a raised limit is noticed.
const NAP: Duration = Duration::from_millis(100);

/// Debt beyond this is forgiven: flushes that never wait must not stop the jobs for good.
const DEBT_MOST: Duration = Duration::from_secs(5);

/// A limit shared by all jobs of a shard.
#[derive(Debug)]
pub(crate) struct RateLimit {
    clock: Arc<dyn Clock>,
    /// 0: no limit.
    bytes_per_s: AtomicU64,
    /// Monotonic time at which everything taken so far is paid for.
    paid_until: Mutex<Duration>,
}

impl RateLimit {
    /// No limit, until one is set.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            bytes_per_s: AtomicU64::new(0),
            paid_until: Mutex::new(Duration::ZERO),
        }
    }

    /// Sets the limit; 0 lifts it.
    pub(crate) fn set(&self, bytes_per_s: u64) {
        self.bytes_per_s.store(bytes_per_s, Ordering::Relaxed);
    }

    /// Waits until `bytes` may be written.
    pub(crate) fn take(&self, bytes: u64) {
        let limit = self.bytes_per_s.load(Ordering::Relaxed);
        if limit == 0 {
            return;
        }
        let cost = Duration::from_secs_f64(bytes as f64 / limit as f64);
        let due = {
            let mut paid = self.paid_until.lock();
            let now = self.clock.monotonic();
            let due = (*paid).clamp(now, now + DEBT_MOST);
            *paid = due + cost;
            due
        };
        while self.bytes_per_s.load(Ordering::Relaxed) != 0 && !URGENT.get() {
            let now = self.clock.monotonic();
            if now >= due {
                return;
            }
            std::thread::sleep((due - now).min(NAP));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_flush_is_counted_and_never_waits() {
        let clock = Arc::new(ManualClock::new(0));
        let rate = RateLimit::new(Arc::<ManualClock>::clone(&clock));
        rate.take(1 << 40);
        rate.set(1000);
        urgently(|| rate.take(5000));
        urgently(|| rate.take(5000));
        assert_eq!(*rate.paid_until.lock(), Duration::from_secs(10));
        urgently(|| rate.take(5000));
        assert_eq!(*rate.paid_until.lock(), DEBT_MOST + Duration::from_secs(5));
        clock.advance(Duration::from_secs(10));
        rate.take(1);
    }
}
