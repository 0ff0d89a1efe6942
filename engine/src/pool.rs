//! Pool: threads for one kind of work, started when it first comes.
//!
//! Most databases that are opened are small, or only read: they do without.
//!
//! # Invariants
//! - However many ask at once, at most one set of threads stays.

use std::io;
use std::sync::OnceLock;

use crate::error::{Error, Result};

/// Threads that are called `cairn-NAME-N`.
#[derive(Debug)]
pub(crate) struct Pool {
    name: &'static str,
    threads: usize,
    started: OnceLock<rayon::ThreadPool>,
}

impl Pool {
    /// So many threads, at least one, of that name.
    pub(crate) fn new(name: &'static str, threads: usize) -> Self {
        Self {
            name,
            threads: threads.max(1),
            started: OnceLock::new(),
        }
    }

    /// The threads, running.
    ///
    /// # Errors
    /// They cannot be started; the next call tries again.
    pub(crate) fn get(&self) -> Result<&rayon::ThreadPool> {
        if let Some(started) = self.started.get() {
            return Ok(started);
        }
        let name = self.name;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .thread_name(move |number| format!("cairn-{name}-{number}"))
            .build()
            .map_err(|error| Error::io("start threads", "", io::Error::other(error)))?;
        Ok(self.started.get_or_init(|| pool))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_start_when_they_are_asked_for_and_stay() {
        let pool = Pool::new("test", 0);
        assert!(pool.started.get().is_none());
        let name = || std::thread::current().name().map(str::to_owned);
        let first = pool.get().unwrap();
        assert_eq!(first.install(name).as_deref(), Some("cairn-test-0"));
        assert_eq!(first.current_num_threads(), 1);
        assert!(std::ptr::eq(first, pool.get().unwrap()));
    }
}
