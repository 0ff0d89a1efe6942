//! Running the same work on every source, in parallel when that pays.
//!
//! # Invariants
//! - One source, or little work, runs on the caller's thread and never enters a pool.
//! - The results are in the order of the sources, whatever ran first.

use engine::Source;
use rayon::prelude::*;

use crate::error::QueryError;
use crate::request::Env;

/// Work that the other threads must take over before waking them pays.
///
/// Entering a rayon pool from outside and joining costs some 10 us on two idle cores, more on busy
/// ones; at ten times that the loss is small when the pool turns out to be busy.
const PAYS_NS: f64 = 100_000.0;

/// Calls `work` with each source and its position. `cost_ns` tells about how long it takes.
pub(crate) fn each_source<T: Send>(
    sources: &[Source],
    env: &Env<'_>,
    cost_ns: impl Fn(&Source) -> f64,
    work: impl Fn(usize, &Source) -> Result<T, QueryError> + Sync,
) -> Result<Vec<T>, QueryError> {
    if sources.len() > 1 && env.pool.current_num_threads() > 1 {
        let costs = sources.iter().map(cost_ns);
        let (total, most) = costs.fold((0.0, 0.0_f64), |(sum, most), c| (sum + c, most.max(c)));
        if total - most >= PAYS_NS {
            return env.pool.install(|| {
                sources
                    .par_iter()
                    .enumerate()
                    .map(|(at, source)| work(at, source))
                    .collect()
            });
        }
    }
    sources
        .iter()
        .enumerate()
        .map(|(at, source)| work(at, source))
        .collect()
}
