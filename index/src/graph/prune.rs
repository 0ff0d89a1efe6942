//! Which candidates become neighbours.
//!
//! The rule of the HNSW paper: going through the candidates from the nearest, one is chosen if no
//! row chosen before is nearer to it than the target is. A candidate that is not chosen can be
//! reached through the row that stands before it. Rows not chosen fill what room is left, nearest
//! first, which costs no distance and shortens paths.
//!
//! Rows with the same vector as the target (twins) never stand before each other under that rule
//! and would take every place, so that the target would lose its links to other rows: at most
//! [`TWINS_MOST`] are chosen, and others fill only room that nothing else fills.

use crate::graph::links::List;
use crate::neighbor::Neighbor;
use crate::{Row, Space};

/// Chosen neighbours at distance zero. A few keep a group of equal vectors connected.
const TWINS_MOST: usize = 4;

/// Chooses from `candidates`, nearest first, at most `most` rows; the list has at most `cap`. The
/// target's distance from itself is `own`.
pub(crate) fn select<S: Space + ?Sized>(
    space: &S,
    own: f32,
    candidates: &[Neighbor],
    room: (usize, usize),
    list: &mut List,
) {
    select_knowing(space, own, candidates, &[], room, list);
}

/// The same, where of the rows `apart` none stands before another: they were chosen together.
pub(crate) fn select_knowing<S: Space + ?Sized>(
    space: &S,
    own: f32,
    candidates: &[Neighbor],
    apart: &[Row],
    (most, cap): (usize, usize),
    list: &mut List,
) {
    list.clear();
    let mut prepared = S::Prepared::default();
    let mut twins = 0;
    for candidate in candidates {
        if list.chosen.len() == most {
            if list.chosen.len() + list.fillers.len() >= cap {
                break;
            }
            list.fillers.push(*candidate);
            continue;
        }
        let twin = candidate.distance == own;
        if twin && twins >= TWINS_MOST {
            list.fillers.push(*candidate);
            continue;
        }
        let is_apart = apart.contains(&candidate.row);
        let mut is_prepared = false;
        let behind = |kept: &Neighbor| {
            if is_apart && apart.contains(&kept.row) {
                return false;
            }
            if !is_prepared {
                space.prepare(candidate.row, &mut prepared);
                is_prepared = true;
            }
            space.distance(&prepared, kept.row) < candidate.distance
        };
        if list.chosen.iter().any(behind) {
            list.fillers.push(*candidate);
        } else {
            twins += usize::from(twin);
            list.chosen.push(*candidate);
        }
    }
    list.fit(cap);
}

/// Offers a target a neighbour that it may already have: chosen, filler or dropped, as
/// [`select`] over the list and the new row would have it, except that a filler is not
/// reconsidered. `from` is the new row, `own` the target's distance from itself.
///
/// One distance a chosen row at most, where running the selection anew costs hundreds.
pub(crate) fn offer<S: Space + ?Sized>(
    space: &S,
    (own, source): (impl FnOnce() -> f32, Neighbor),
    from: &S::Prepared,
    cap: usize,
    list: &mut List,
) {
    if list.iter().any(|kept| kept.row == source.row) {
        return;
    }
    let place = list.chosen.partition_point(|kept| *kept < source);
    let ties = list
        .chosen
        .iter()
        .filter(|kept| kept.distance == source.distance)
        .count();
    let spare_twin = ties >= TWINS_MOST && source.distance == own();
    let mut before = list.chosen[..place].iter();
    let stands_before = |kept: &Neighbor| space.distance(from, kept.row) < source.distance;
    if spare_twin || before.any(stands_before) {
        fill(list, source);
    } else {
        list.chosen.insert(place, source);
        let mut at = place + 1;
        while at < list.chosen.len() {
            let kept = list.chosen[at];
            if space.distance(from, kept.row) < kept.distance {
                list.chosen.remove(at);
                fill(list, kept);
            } else {
                at += 1;
            }
        }
        if list.chosen.len() > cap {
            list.chosen.truncate(cap);
        }
    }
    list.fit(cap);
}

fn fill(list: &mut List, neighbor: Neighbor) {
    let place = list.fillers.partition_point(|kept| *kept < neighbor);
    list.fillers.insert(place, neighbor);
}
