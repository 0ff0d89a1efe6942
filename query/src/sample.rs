//! Points drawn at random, the same ones for the same seed.
//!
//! Every row of a snapshot gets a number from the seed and its place, and the matching rows with
//! the smallest numbers are drawn. Rows are first looked at below a bound that should leave about
//! as many as are wanted, and below a larger one until there are enough; only those are tested.

use engine::Snapshot;
use format_spec::ids::{PointId, Row};

use crate::budget::{Budget, PAYLOAD_ROWS};
use crate::error::QueryError;
use crate::filter::{Bound, candidates};
use crate::hydrate::Place;
use crate::request::Env;
use crate::scroll::OpenRows;

/// Rows looked at for each one wanted: the numbers of so few scatter.
const SPARE: u64 = 2;
const SPARE_LEAST: u64 = 16;
/// How much larger each bound is than the one before.
const GROWTH: u32 = 8;

/// A point drawn: the number that puts it there, its id, and where it is.
pub(crate) type Drawn = (u64, PointId, Place);

/// The first `wanted` of the matching points in a random order.
pub(crate) fn draw(
    snapshot: &Snapshot,
    filter: Option<&Bound<'_>>,
    seed: u64,
    wanted: usize,
    env: &Env<'_>,
) -> Result<Vec<Drawn>, QueryError> {
    draw_of(snapshot, filter, None, (seed, wanted), env)
}

/// The same among the points that have a vector, by its position in the schema.
pub(crate) fn draw_with_vector(
    snapshot: &Snapshot,
    filter: Option<&Bound<'_>>,
    vector: usize,
    (seed, wanted): (u64, usize),
    env: &Env<'_>,
) -> Result<Vec<Drawn>, QueryError> {
    draw_of(snapshot, filter, Some(vector), (seed, wanted), env)
}

fn draw_of(
    snapshot: &Snapshot,
    filter: Option<&Bound<'_>>,
    vector: Option<usize>,
    (seed, wanted): (u64, usize),
    env: &Env<'_>,
) -> Result<Vec<Drawn>, QueryError> {
    let budget = Budget::new(env);
    let mut pools = Vec::new();
    let mut total = 0;
    for source in snapshot.sources() {
        budget.check()?;
        let mut within = source.live();
        if let Some(vector) = vector
            && let Some(present) = source.present(vector)?
        {
            within.and(&present);
        }
        let (rows, open) = match filter {
            Some(filter) => {
                let found = candidates(filter, source, &within, &budget)?;
                (found.possible(), Some(OpenRows::new(filter, source, found)))
            }
            None => (within, None),
        };
        total += u64::from(rows.count());
        pools.push((rows, open));
    }
    let mut drawn = Vec::new();
    let mut below = 0;
    while drawn.len() < wanted && below < u64::MAX {
        let from = below;
        below = next_bound(from, wanted, total);
        let mut seen: Vec<(u64, usize, Row)> = Vec::new();
        for (source, (rows, _)) in pools.iter().enumerate() {
            budget.check()?;
            let numbered = rows
                .iter()
                .map(|row| (number(seed, source, row), source, row));
            // The last bound takes in the greatest number too.
            let within = |number: u64| number >= from && (number < below || below == u64::MAX);
            seen.extend(numbered.filter(|(number, ..)| within(*number)));
        }
        seen.sort_unstable();
        for (tested, (number, source, row)) in seen.into_iter().enumerate() {
            if drawn.len() == wanted {
                break;
            }
            if tested % PAYLOAD_ROWS == 0 {
                budget.check()?;
            }
            if let Some(open) = &mut pools[source].1
                && !open.passes(row, &budget)?
            {
                continue;
            }
            let id = snapshot.sources()[source].id(row)?;
            drawn.push((number, id, Place { source, row }));
        }
    }
    Ok(drawn)
}

/// The bound that follows: the first leaves a few more rows than are wanted.
fn next_bound(before: u64, wanted: usize, total: u64) -> u64 {
    if before > 0 {
        return before.saturating_mul(GROWTH.into());
    }
    let few = (wanted as u64)
        .saturating_mul(SPARE)
        .saturating_add(SPARE_LEAST);
    (u64::MAX / total.max(1)).saturating_mul(few)
}

/// The number of a row: `SplitMix64` (Steele, Lea, Flood, OOPSLA 2014) of the seed and the place.
fn number(seed: u64, source: usize, row: Row) -> u64 {
    let place = (source as u64) << 32 | u64::from(row);
    mix(mix(seed).wrapping_add(place))
}

fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_grow_to_the_end() {
        for (wanted, total) in [(1, 0), (1, 1), (10, 1_000_000), (usize::MAX, 5)] {
            let mut bound = 0;
            for _ in 0..64 {
                let next = next_bound(bound, wanted, total);
                assert!(next > bound || next == u64::MAX);
                bound = next;
            }
            assert_eq!(bound, u64::MAX);
        }
    }

    #[test]
    fn numbers_spread_over_the_whole_range() {
        let below = |bound: u64| (0..10_000).filter(|row| number(7, 1, *row) < bound).count();
        let half = below(u64::MAX / 2);
        assert!((4_800..5_200).contains(&half), "{half}");
        let tenth = below(u64::MAX / 10);
        assert!((900..1_100).contains(&tenth), "{tenth}");
        assert_ne!(number(7, 0, 1), number(8, 0, 1));
        assert_ne!(number(7, 0, 1), number(7, 1, 0));
    }
}
