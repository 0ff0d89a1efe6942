//! Candidates of new rows from a scan of one-bit codes, instead of a walk through the graph.
//!
//! A block of 32 rows is estimated in about the time in which a walk computes one distance, and a
//! walk computes thousands. Rows are grouped around [`Pivots`]; a new row looks through the groups
//! whose pivots seem nearest, until it has seen its share of the rows that came before, and what
//! seems nearest there goes to the selection as a walk's beam does. While few rows are in the graph
//! that is all of them: the links of the first rows are what leads from one end of a graph to the
//! other.
//!
//! Of more than [`ROWS_MOST`] rows the share takes as long as a walk. Where rows gather around few
//! pivots (many equal vectors, products with long vectors) a scan would not be bounded: such rows
//! are not grouped either, and their graph comes from walks.
//!
//! # Invariants
//! - Only rows that come before the new row's batch are candidates.
//! - What is found depends on the rows and their order alone.

use quant::{BLOCK_ROWS, SignRows};
use rayon::prelude::*;

use crate::error::BuildError;
use crate::graph::pivots::{Asking, Pivots, packed};
use crate::neighbor::Nearest;
use crate::{Row, Space};

/// Rows looked through for a new one, at least and as a share of all.
///
/// `benches/record/amd-epyc/2026-11-23-graphs.md` has the recall of other shares.
const LOOKED_THROUGH: usize = 12_288;
const LOOKED_THROUGH_SHARE: usize = 8;

/// Rows, and bytes of their blocks, that are grouped.
const ROWS_MOST: usize = 400_000;
const BYTES_MOST: usize = 256 << 20;

/// Rows around one pivot at most, as a multiple of the average; or half of the rows looked through.
const UNEVEN: usize = 16;

/// Of these, in percent, for a row that has neighbours.
///
/// Of four graphs over 25,000 text embeddings each (`merge --data DIR --parts 4`): 50, 33 and 25,
/// of which 50, 40 and 30 % of `ef_construct` are found, take 55, 47 and 44 % of the CPU time of a
/// build, and lose 0.0, 0.3 and 0.3 points of recall at ef 128 and 0.1, 0.2 and 0.3 at 256.
const ACROSS_PERCENT: usize = 33;

/// Rows around a pivot, on average: some blocks.
const ROWS_A_CLUSTER: usize = 160;

/// More pivots would take as long as the rows around them.
const CLUSTERS_MOST: usize = 4_096;

/// Rows found in percent of `ef_construct`: estimates of one bit do not tell near rows apart.
const FOUND_PERCENT: usize = 150;
/// The same for a row that has neighbours, which are candidates too.
const ACROSS_FOUND_PERCENT: usize = 40;

/// Of rows to be inserted so many are worth grouping all others: one in this.
const SHARE: usize = 16;

/// Pivots that are looked around first.
const NEAREST_PIVOTS: usize = 8;

/// Rows assigned to clusters between two looks at whether to stop.
const ASSIGNED: usize = 1 << 15;

/// How many rows are looked through, in percent of what a new row looks through, and how many of
/// them are found.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Looked {
    percent: usize,
    found: usize,
}

impl Looked {
    /// For a row that has no neighbours yet.
    pub(crate) fn anew(ef_construct: usize) -> Self {
        Self {
            percent: 100,
            found: ef_construct * FOUND_PERCENT / 100,
        }
    }

    /// For a row that has neighbours in one of several graphs.
    pub(crate) fn across(ef_construct: usize) -> Self {
        Self {
            percent: ACROSS_PERCENT,
            found: ef_construct * ACROSS_FOUND_PERCENT / 100,
        }
    }
}

/// A row that is never a candidate.
const NEVER: u32 = u32::MAX;

/// The one-bit codes of rows, packed anew so that near rows are in the same blocks.
#[derive(Debug)]
pub(crate) struct Clusters {
    pivots: Pivots,
    /// The rows around them: each cluster begins with a block.
    blocks: Vec<u8>,
    block_len: usize,
    /// For each cluster its first block, and the end of the last.
    starts: Vec<u32>,
    /// For each place in `blocks` the row and its turn; in a cluster turns ascend.
    rows: Vec<Member>,
    /// The cluster of each row.
    cluster_of: Vec<u32>,
    /// How many rows come first of all, at once; and how many come in all.
    at_once: usize,
    all: usize,
}

#[derive(Copy, Clone, Debug)]
struct Member {
    row: Row,
    turn: u32,
}

impl Member {
    /// A place without a row.
    const NONE: Self = Self {
        row: 0,
        turn: NEVER,
    };

    fn row(&self) -> Option<Row> {
        (self.turn != NEVER).then_some(self.row)
    }
}

/// The first block of each cluster and the end of the last, and what is in each place of them; if
/// no cluster has more than `most` rows.
fn grouped(
    mut members: Vec<Member>,
    cluster_of: &[u32],
    (count, most): (usize, usize),
) -> Option<(Vec<u32>, Vec<Member>)> {
    members.sort_unstable_by_key(|member| (member.turn, member.row));
    let cluster = |member: &Member| cluster_of[member.row as usize] as usize;
    let mut sizes = vec![0_u32; count];
    members
        .iter()
        .for_each(|member| sizes[cluster(member)] += 1);
    if count > 1 && sizes.iter().any(|size| *size as usize > most) {
        return None;
    }
    let (mut starts, mut end) = (vec![0], 0);
    for size in &sizes {
        end += size.div_ceil(BLOCK_ROWS as u32);
        starts.push(end);
    }
    let place = |start: &u32| *start as usize * BLOCK_ROWS;
    let mut next: Vec<usize> = starts.iter().map(place).collect();
    let mut rows = vec![Member::NONE; place(&end)];
    for member in members {
        let next = &mut next[cluster(&member)];
        rows[*next] = member;
        *next += 1;
    }
    Some((starts, rows))
}

/// A thread's memory for looking.
#[derive(Default)]
struct Looking<P> {
    asking: Asking<P>,
    pivots: Vec<(u32, u32)>,
    nearest: Nearest,
}

/// Rows that a row among `all` looks through.
fn looked_through(all: usize) -> usize {
    LOOKED_THROUGH.max(all / LOOKED_THROUGH_SHARE)
}

impl Clusters {
    /// Groups the rows of `space`, if it has blocks and `later` rows are many enough: in the graph
    /// are those `before`, and then come those `later`, in their order from turn 1 on.
    ///
    /// # Errors
    /// What `check` says, which is asked every [`ASSIGNED`] rows.
    pub(crate) fn new<S: Space + ?Sized>(
        space: &S,
        before: impl Iterator<Item = Row>,
        later: &[Row],
        seed: u64,
        check: impl Fn() -> Result<(), BuildError>,
    ) -> Result<Option<Self>, BuildError> {
        let Some(blocks) = space.blocks() else {
            return Ok(None);
        };
        let rows = space.len() as usize;
        if later.len() < rows / SHARE || rows > ROWS_MOST || blocks.len() > BYTES_MOST {
            return Ok(None);
        }
        let mut turns = vec![None; rows];
        before.for_each(|row| turns[row as usize] = Some(0));
        for (turn, row) in (1..).zip(later) {
            turns[*row as usize] = Some(turn);
        }
        let members: Vec<Member> = (0..)
            .zip(&turns)
            .filter_map(|(row, turn): (Row, &Option<u32>)| turn.map(|turn| Member { row, turn }))
            .collect();
        let among: Vec<Row> = members.iter().map(|member| member.row).collect();
        if among.is_empty() {
            return Ok(None);
        }
        let (block_len, padded) = Asking::shape(space, among[0]);
        let signs = SignRows::of_blocks(blocks.chunks_exact(block_len), padded);
        let all = members.len();
        let count = match all <= LOOKED_THROUGH {
            true => 1,
            false => (all / ROWS_A_CLUSTER).min(CLUSTERS_MOST),
        };
        let pivots = Pivots::new((space, &signs), &among, (count, seed), &check)?;
        let assigned = |asking: &mut Asking<S::Prepared>, row: Row| {
            if turns[row as usize].is_none() || count == 1 {
                return 0;
            }
            asking.prepare(space, row);
            pivots.nearest(asking)
        };
        let mut cluster_of: Vec<u32> = Vec::with_capacity(turns.len());
        for first in (0..space.len()).step_by(ASSIGNED) {
            check()?;
            let rows = first..space.len().min(first + ASSIGNED as Row);
            let rows = rows.into_par_iter();
            cluster_of.par_extend(rows.map_init(Asking::default, assigned));
        }
        let at_once = all - later.len();
        let most = (looked_through(all) / 2).max(UNEVEN * all / count);
        let Some((starts, rows)) = grouped(members, &cluster_of, (count, most)) else {
            return Ok(None);
        };
        let blocks = packed(&signs, padded, rows.iter().map(Member::row));
        Ok(Some(Self {
            pivots,
            blocks,
            block_len,
            starts,
            rows,
            cluster_of,
            at_once,
            all,
        }))
    }

    /// For each of `targets`, rows with the turn before which candidates come, the rows that seem
    /// nearest.
    pub(crate) fn nearest<S: Space + ?Sized>(
        &self,
        space: &S,
        targets: &[(Row, u32)],
        looked: Looked,
    ) -> Vec<Vec<Row>> {
        let ends = self.ends(targets);
        // Rows of one cluster look through the same blocks, which then are in the cache.
        let mut order: Vec<usize> = (0..targets.len()).collect();
        order.sort_by_key(|at| self.cluster_of[targets[*at].0 as usize]);
        let found = order.par_iter().map_init(Looking::default, |looking, at| {
            (*at, self.look(space, looking, targets[*at], &ends, looked))
        });
        let mut found: Vec<(usize, Vec<Row>)> = found.collect();
        found.sort_unstable_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, rows)| rows).collect()
    }

    /// For each block, how many of its rows come before all targets, and how many before some.
    fn ends(&self, targets: &[(Row, u32)]) -> Vec<[u8; 2]> {
        let turns = || targets.iter().map(|(_, before)| *before);
        let [least, most] = [turns().min(), turns().max()].map(Option::unwrap_or_default);
        let (blocks, _) = self.rows.as_chunks::<BLOCK_ROWS>();
        let ends = |block: &[Member; BLOCK_ROWS]| {
            [least, most].map(|before| block.partition_point(|member| member.turn < before) as u8)
        };
        blocks.iter().map(ends).collect()
    }

    fn look<S: Space + ?Sized>(
        &self,
        space: &S,
        looking: &mut Looking<S::Prepared>,
        (row, before): (Row, u32),
        ends: &[[u8; 2]],
        looked: Looked,
    ) -> Vec<Row> {
        let Looking {
            asking,
            pivots,
            nearest,
        } = looking;
        asking.prepare(space, row);
        self.pivots.list(asking, pivots);
        let come = (self.at_once + before as usize).clamp(1, self.all);
        let wanted = looked_through(self.all) * looked.percent / 100;
        let (mut seen, mut sorted) = (0, 0);
        nearest.reset(looked.found);
        for nth in 0..self.pivots.count() {
            if seen >= wanted {
                break;
            }
            if nth == sorted {
                let expected = (wanted - seen) * self.pivots.count() / come;
                sorted += bring_forward(&mut pivots[nth..], expected);
            }
            let cluster = pivots[nth].1 as usize;
            seen += self.look_around(cluster, (before, ends), asking, nearest);
        }
        // In their own order their codes are read forwards.
        let mut rows: Vec<Row> = nearest
            .rows()
            .map(|place| self.rows[place as usize].row)
            .collect();
        rows.sort_unstable();
        rows
    }

    /// Offers the rows of a cluster that come before a turn to `nearest`; tells how many they are.
    fn look_around<P>(
        &self,
        cluster: usize,
        (before, ends): (u32, &[[u8; 2]]),
        asking: &mut Asking<P>,
        nearest: &mut Nearest,
    ) -> usize {
        let Asking {
            query, estimates, ..
        } = asking;
        let mut seen = 0;
        for block in self.starts[cluster]..self.starts[cluster + 1] {
            let at = block as usize;
            let rows = &self.rows[at * BLOCK_ROWS..][..BLOCK_ROWS];
            let [sure, perhaps] = ends[at].map(usize::from);
            let open = rows[sure..perhaps].iter();
            let eligible = sure + open.take_while(|member| member.turn < before).count();
            if eligible == 0 {
                break;
            }
            seen += eligible;
            let codes = &self.blocks[at * self.block_len..][..self.block_len];
            let near = query.block(codes, nearest.bound(), estimates);
            let mut near = near & (u32::MAX >> (BLOCK_ROWS - eligible));
            while near != 0 {
                let lane = near.trailing_zeros();
                let place = block * BLOCK_ROWS as u32 + lane;
                nearest.push(estimates.distances[lane as usize], place);
                near &= near - 1;
            }
        }
        seen
    }
}

/// Brings the nearest `count` pivots to the front, or a few if that is fewer, and the nearest few
/// to the very front: what is found there spares the others. Tells how many were brought.
fn bring_forward(pivots: &mut [(u32, u32)], count: usize) -> usize {
    let count = count.max(NEAREST_PIVOTS).min(pivots.len());
    if count < pivots.len() {
        pivots.select_nth_unstable(count);
    }
    if NEAREST_PIVOTS < count {
        pivots[..count].select_nth_unstable(NEAREST_PIVOTS);
    }
    count
}

#[cfg(test)]
mod tests {
    use quant::PreparedRow;

    use super::*;
    use crate::CodedSpace;
    use crate::graph::testing::{Plain, pool};

    const ROWS: u32 = 16_000;

    fn clustered() -> Plain {
        Plain::clustered(ROWS, 50, 64, 4)
    }

    /// The ten rows of `among` nearest to `row`.
    fn truth(space: &CodedSpace<'_>, row: Row, among: impl Iterator<Item = Row>) -> Vec<Row> {
        let mut from = PreparedRow::default();
        space.prepare(row, &mut from);
        let mut nearest = Nearest::default();
        nearest.reset(10);
        among.for_each(|other| nearest.push(space.distance(&from, other), other));
        nearest.rows().collect()
    }

    /// Of rows that come in the order of `later`, and of which every fifth never comes.
    fn most_of_the_nearest_are_found(space: &CodedSpace<'_>, before: &[Row], later: &[Row]) {
        let comes = |row: &Row| row % 5 != 4;
        let before: Vec<Row> = before.iter().copied().filter(comes).collect();
        let later: Vec<Row> = later.iter().copied().filter(comes).collect();
        let clusters = || {
            let before = before.iter().copied();
            let made = Clusters::new(space, before, &later, 9, || Ok(()));
            made.unwrap().unwrap()
        };
        let at = |nth: usize| (later[nth], 1 + nth as u32);
        let targets: Vec<(Row, u32)> = (0..later.len()).step_by(97).map(at).collect();
        let found = |threads| {
            pool(threads).install(|| clusters().nearest(space, &targets, Looked::anew(100)))
        };
        let rows = found(1);
        assert_eq!(rows, found(3));
        let (mut hits, mut wanted) = (0, 0);
        for ((row, turn), found) in targets.iter().zip(&rows) {
            let there = before.iter().chain(&later[..*turn as usize - 1]);
            let least = there.clone().count().min(150);
            assert!(found.len() == least && found.is_sorted());
            let truth = truth(space, *row, there.clone().copied());
            let there: std::collections::BTreeSet<&Row> = there.collect();
            assert!(found.iter().all(|found| there.contains(found)));
            hits += truth.iter().filter(|row| found.contains(row)).count();
            wanted += truth.len();
        }
        println!("{hits} of {wanted} are found");
        // One bit of 64 dimensions does not tell all.
        assert!(hits * 100 >= wanted * 90, "{hits} of {wanted}");
    }

    #[test]
    fn most_of_the_nearest_rows_that_came_before_are_found() {
        let space = clustered().coded();
        let rows: Vec<Row> = (0..ROWS).collect();
        let backwards: Vec<Row> = (1_000..ROWS).rev().collect();
        most_of_the_nearest_are_found(&space, &rows[..1_000], &backwards);
        // Topic by topic: the first row of a topic has all its pivots ahead.
        let mut topics = rows;
        topics.sort_by_key(|row| row % 50);
        most_of_the_nearest_are_found(&space, &[], &topics);
    }

    #[test]
    fn rows_that_gather_around_few_pivots_are_not_grouped() {
        let mut space = clustered();
        let equal = space.vectors[0].clone();
        space.vectors[..10_000].fill(equal);
        let space = space.coded();
        let later: Vec<Row> = (0..ROWS).collect();
        let made = Clusters::new(&space, 0..0, &later, 9, || Ok(())).unwrap();
        assert!(made.is_none());
    }

    #[test]
    fn few_rows_are_not_worth_grouping_all() {
        let space = clustered().coded();
        let clusters = |before, later: &[Row]| Clusters::new(&space, before, later, 9, || Ok(()));
        assert!(clusters(0..ROWS - 100, &[ROWS - 1]).unwrap().is_none());
        assert!(clusters(0..0, &[]).unwrap().is_none());
        let later: Vec<Row> = (0..ROWS).collect();
        let stopped = BuildError::Cancelled { rows_done: 0 };
        let stop = || Err(stopped);
        let ended = Clusters::new(&space, 0..0, &later, 9, stop);
        assert_eq!(ended.err(), Some(stopped));
    }
}
