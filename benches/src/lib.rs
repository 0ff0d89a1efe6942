//! What the measuring commands share: the data set, the server measured, what the process used.

#![expect(
    clippy::disallowed_methods,
    reason = "a measurement reads clocks and files of its own"
)]

pub mod collection;
pub mod connection;
pub mod dataset;
pub mod node;
pub mod usage;
pub mod vectors;

use std::time::{Duration, Instant};

/// Why a measurement could not be made.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs `work` and tells how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let out = work();
    (out, start.elapsed())
}

/// This moment.
pub fn now() -> Instant {
    Instant::now()
}

/// The value of `--name`, if it was given.
pub fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.next().and_then(|_| arguments.next())
}

/// Whether `--name` was given.
pub fn flag(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}
