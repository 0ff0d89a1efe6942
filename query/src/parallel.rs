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
/// ones. Sources that follow each other also spare each other work (`codes.rs`): over HTTP on one
/// connection, three segments of 100,000 embeddings are searched as fast in turn as side by side,
/// and the other core is left to other queries.
pub(crate) const PAYS_NS: f64 = 400_000.0;

/// Whether several threads are worth while; `cost_ns` tells about how long a source takes.
pub(crate) fn pays(sources: &[Source], env: &Env<'_>, cost_ns: impl Fn(&Source) -> f64) -> bool {
    if sources.len() < 2 || env.pool.current_num_threads() < 2 {
        return false;
    }
    let costs = sources.iter().map(cost_ns);
    let (total, most) = costs.fold((0.0, 0.0_f64), |(sum, most), c| (sum + c, most.max(c)));
    total - most >= PAYS_NS
}

/// Calls `work` with each source and its position, on several threads or on this one.
pub(crate) fn each_source<T: Send>(
    sources: &[Source],
    env: &Env<'_>,
    parallel: bool,
    work: impl Fn(usize, &Source) -> Result<T, QueryError> + Sync,
) -> Result<Vec<T>, QueryError> {
    let work = |(at, source)| work(at, source);
    if parallel {
        return env
            .pool
            .install(|| sources.par_iter().enumerate().map(work).collect());
    }
    sources.iter().enumerate().map(work).collect()
}
