//! How many points match.

use engine::{Snapshot, Source};

use crate::budget::Budget;
use crate::cost;
use crate::error::QueryError;
use crate::filter::{Bound, Filter, RowTester, bind, candidates, estimate};
use crate::parallel::{each_source, pays};
use crate::request::Env;

/// Counts the points that match, all of them without a filter.
///
/// Without `exact`, what only payloads could tell is judged by a sample of them; the answer is
/// exact all the same when indexes decide everything.
///
/// # Errors
/// A filter that does not bind, the deadline, or a failure to read.
pub fn count(
    snapshot: &Snapshot,
    filter: Option<&Filter>,
    exact: bool,
    env: &Env<'_>,
) -> Result<u64, QueryError> {
    let Some(filter) = filter.filter(|filter| !filter.is_empty()) else {
        return Ok(snapshot.live_count());
    };
    let filter = bind(filter, snapshot.schema())?;
    let budget = Budget::new(env);
    let cost = |source: &Source| cost::payload_walk_ns(source.live_count());
    let parallel = pays(snapshot.sources(), env, cost);
    let counts = each_source(snapshot.sources(), env, parallel, |_, source| {
        let estimate = estimate(&filter, source, &budget)?;
        if estimate.min == estimate.max {
            Ok(estimate.min)
        } else if exact {
            count_exactly(&filter, source, &budget)
        } else {
            count_roughly(&filter, source, &budget)
        }
    })?;
    Ok(counts.into_iter().sum())
}

fn count_exactly(
    filter: &Bound<'_>,
    source: &Source,
    budget: &Budget<'_>,
) -> Result<u64, QueryError> {
    let rows =
        candidates(filter, source, &source.live(), budget)?.settle(filter, source, budget)?;
    Ok(rows.count().into())
}

fn count_roughly(
    filter: &Bound<'_>,
    source: &Source,
    budget: &Budget<'_>,
) -> Result<u64, QueryError> {
    let candidates = candidates(filter, source, &source.live(), budget)?;
    let (sure, open) = (
        candidates.sure.count().into(),
        u64::from(candidates.open.count()),
    );
    let (tested, matched) = RowTester::new(filter, source).sample(&candidates.open)?;
    if tested == 0 {
        return Ok(sure);
    }
    Ok(sure + open * u64::from(matched) / u64::from(tested))
}
