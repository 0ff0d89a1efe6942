//! Merging graphs: most links stay, and rows are linked across from where their neighbours are.
//!
//! ```text
//! take over   every row gets the list it had, without rows that are gone   (graph::repair)
//! the largest graph stands as it is; but for rows that lost more than half of their neighbours
//! the others  go through their rows from neighbour to neighbour, in the batches of graph::build:
//!             a row is sought near the neighbours it has, of which some are linked across by now
//! rows that had no graph are inserted as in a build
//! ```
//!
//! Rows with few neighbours, or none that is linked across, are sought from the entry, and so are
//! the upper layers. Each other row starts at the neighbours it has, which found their place before
//! it (the order of IGTM, arXiv 2505.16064); these and those still to come are candidates too.
//!
//! # Invariants
//! - As a build's: nothing depends on the number of threads, and every row can be reached.

use std::collections::VecDeque;

use format_spec::graph::NOT_IN_GRAPH;
use rayon::prelude::*;

use crate::error::BuildError;
use crate::graph::across::Across;
use crate::graph::build::{Builder, Offered, Placed, drawn_levels, members};
use crate::graph::clusters::Clusters;
use crate::graph::level::LEVEL_MOST;
use crate::graph::links::List;
use crate::graph::repair::{Earlier, Loss};
use crate::graph::{BuiltGraph, level};
use crate::rowset::RowSet;
use crate::settings::BuildSettings;
use crate::{Adjacency, Progress, Row, Space};

/// The row in the merged graph of a row that is not in it.
pub const GONE: Row = Row::MAX;

/// Lists taken over between two looks at whether to stop.
const TAKEN_OVER: usize = 4_096;

/// A row that lost more of its neighbours than this is sought anew.
const LOSS_PERCENT: usize = 25;

/// A part that lost more than one row in so many is not whole.
const WHOLE_LOSS_SHARE: usize = 10;

/// Of the other rows that lost neighbours, so many are sought anew.
const SOUGHT_PERCENT: u64 = 12;

/// A graph to be merged.
#[derive(Debug)]
pub struct MergeInput<'a, A: ?Sized> {
    /// The graph, built with the settings of the merged one.
    pub graph: &'a A,
    /// For each row of `graph`, its row in the merged graph or [`GONE`].
    pub rows: &'a [Row],
}

/// Builds the graph of the rows of `space`, or of those in `present`, from graphs over parts of
/// them; rows of no graph are inserted in their order.
///
/// # Errors
/// As [`build`](crate::build), and when a row of an input has no place, or two rows have one.
pub fn merge<S: Space + ?Sized, A: Adjacency + ?Sized>(
    space: &S,
    present: Option<&RowSet>,
    inputs: &[MergeInput<'_, A>],
    settings: BuildSettings,
    pool: &rayon::ThreadPool,
    progress: &dyn Progress,
) -> Result<BuiltGraph, BuildError> {
    let members = members(space, present, settings)?;
    pool.install(|| {
        let mut levels = drawn_levels(space.len(), &members, settings);
        let (parts, rest) = parts(inputs, &levels, &members)?;
        let (base, others) = match parts.split_first() {
            Some((part, others)) if !part.is_wasted() => (Some(part), others),
            _ => (None, &parts[..]),
        };
        if let Some(base) = base {
            for (old, new) in &base.live {
                let level = base.input.graph.level(*old).unwrap_or(0);
                levels[*new as usize] = level.min(LEVEL_MOST);
            }
        }
        let mut builder = Builder::new(space, levels, settings, progress);
        let mut across = Across::new(space.len());
        if let Some(base) = base {
            let lossy = take_over(&mut builder, base, true)?;
            builder.graph.entry = entry(&builder.graph, base);
            offer_back(&mut builder, &lossy)?;
            let worst = lossy
                .iter()
                .filter(|(row, loss)| is_sought(*row, *loss, members.len()));
            let worst: Vec<Row> = worst.map(|(row, _)| *row).collect();
            builder.done(base.live.len() - worst.len());
            across.take(base.live.iter().map(|(_, new)| *new));
            across.link(&mut builder, &worst, (None, 0), true)?;
        }
        let mut lossy = Vec::new();
        for part in others {
            lossy.extend(take_over(&mut builder, part, false)?);
        }
        let mut later: Vec<Row> = others.iter().flat_map(traversal).collect();
        let linked = later.len();
        later.extend(&rest);
        let before = base.iter().flat_map(|base| &base.live);
        let before = before.map(|(_, new)| *new);
        let check = || builder.check();
        let clusters = Clusters::new(space, before, &later, settings.seed, check)?;
        let mut turn = 1;
        for part in others {
            let (rows, _) = later[turn as usize - 1..linked].split_at(part.live.len());
            across.link(
                &mut builder,
                rows,
                (clusters.as_ref(), turn),
                part.is_whole(),
            )?;
            turn += rows.len() as u32;
        }
        offer_back(&mut builder, &lossy)?;
        builder.insert(&rest, (clusters.as_ref(), turn))?;
        Ok(builder.finish(&members))
    })
}

/// What is left of an input.
#[derive(Debug)]
struct Part<'a, A: ?Sized> {
    input: &'a MergeInput<'a, A>,
    /// Its rows in the merged graph: old and new.
    live: Vec<(Row, Row)>,
    /// Rows it had.
    had: usize,
}

impl<A: ?Sized> Part<'_, A> {
    /// Whether most of it is gone, so that what is left is no ground to build on.
    const fn is_wasted(&self) -> bool {
        self.live.len() * 2 < self.had
    }

    /// Whether so little of it is gone that its rows have the neighbours they would find there.
    const fn is_whole(&self) -> bool {
        (self.had - self.live.len()) * WHOLE_LOSS_SHARE <= self.had
    }
}

/// What is left of the inputs, the best to build on first, and the rows that none of them has.
fn parts<'a, A: Adjacency + ?Sized>(
    inputs: &'a [MergeInput<'a, A>],
    levels: &[u8],
    members: &[Row],
) -> Result<(Vec<Part<'a, A>>, Vec<Row>), BuildError> {
    let mut covered = vec![false; levels.len()];
    let mut parts = Vec::new();
    for (at, input) in inputs.iter().enumerate() {
        let mut part = Part {
            input,
            live: Vec::new(),
            had: 0,
        };
        for (old, new) in (0..input.graph.len()).zip(input.rows.iter().copied()) {
            if input.graph.level(old).is_none() {
                continue;
            }
            part.had += 1;
            if new == GONE {
                continue;
            }
            match covered.get_mut(new as usize) {
                Some(covered) if !*covered => *covered = true,
                _ => {
                    return Err(BuildError::MergeRows {
                        input: at,
                        row: old,
                    });
                }
            }
            if levels[new as usize] != NOT_IN_GRAPH {
                part.live.push((old, new));
            }
        }
        if !part.live.is_empty() {
            parts.push(part);
        }
    }
    parts.sort_by_key(|part| (part.is_wasted(), usize::MAX - part.live.len()));
    let rest = members.iter().copied();
    let rest = rest.filter(|row| !covered[*row as usize]).collect();
    Ok((parts, rest))
}

/// Gives the rows of a part the lists they had; above the base layer only if it `stands`.
/// Returns the rows whose base lists lost rows.
fn take_over<S: Space + ?Sized, A: Adjacency + ?Sized>(
    builder: &mut Builder<'_, S>,
    part: &Part<'_, A>,
    stands: bool,
) -> Result<Vec<(Row, Loss)>, BuildError> {
    let m = builder.graph.settings.m as usize;
    let mut lossy = Vec::new();
    for rows in part.live.chunks(TAKEN_OVER) {
        builder.check()?;
        let earlier = Earlier {
            graph: part.input.graph,
            rows: part.input.rows,
            levels: &builder.graph.levels,
        };
        let taken = |&(old, new): &(Row, Row)| {
            builder.with_placer(|placer| {
                let top = if stands {
                    earlier.levels[new as usize]
                } else {
                    0
                };
                let mut lists = vec![List::default(); usize::from(top) + 1];
                let mut loss = Loss::default();
                for layer in (0..=top).rev() {
                    let list = &mut lists[usize::from(layer)];
                    let room = (m, if layer == 0 { 2 * m } else { m });
                    loss = earlier.list(builder.space, (layer, old, new), room, placer, list);
                }
                (lists, loss)
            })
        };
        let taken: Vec<(Vec<List>, Loss)> = rows.par_iter().map(taken).collect();
        for ((_, new), (lists, loss)) in rows.iter().zip(&taken) {
            builder.store(*new, lists);
            if loss.gone > 0 {
                lossy.push((*new, *loss));
            }
        }
    }
    Ok(lossy)
}

/// Offers rows whose lists were chosen anew to the rows in them.
fn offer_back<S: Space + ?Sized>(
    builder: &mut Builder<'_, S>,
    lossy: &[(Row, Loss)],
) -> Result<(), BuildError> {
    for rows in lossy.chunks(TAKEN_OVER) {
        builder.check()?;
        let rows: Vec<Row> = rows.iter().map(|(row, _)| *row).collect();
        let lists: Vec<Placed> = rows.par_iter().map(|row| builder.lists(*row)).collect();
        builder.link(&rows, &lists, Offered::All);
    }
    Ok(())
}

/// Whether a row that lost neighbours is sought anew; `rows` are in the merged graph.
fn is_sought(row: Row, loss: Loss, rows: usize) -> bool {
    let draw = level::mix(u64::from(row) ^ (rows as u64) << 32) % 100;
    loss.gone * 100 > loss.had * LOSS_PERCENT || draw < SOUGHT_PERCENT
}

/// Where searches of a part that stands begin: where they began, or at a row of its highest level.
fn entry<A: Adjacency + ?Sized>(graph: &BuiltGraph, part: &Part<'_, A>) -> Option<(Row, u8)> {
    let was = part.input.graph.entry().map(|(row, _)| row);
    let rows = part.live.iter().map(|(old, new)| {
        let level = graph.levels[*new as usize];
        (level, Some(*old) == was, Row::MAX - *new)
    });
    let best = rows.max();
    best.map(|(level, _, from_end)| (Row::MAX - from_end, level))
}

/// The rows of a part from neighbour to neighbour, as rows of the merged graph.
fn traversal<A: Adjacency + ?Sized>(part: &Part<'_, A>) -> Vec<Row> {
    let MergeInput { graph, rows } = *part.input;
    let mut live = RowSet::new(graph.len());
    part.live.iter().for_each(|(old, _)| {
        live.insert(*old);
    });
    let mut seen = RowSet::new(graph.len());
    let mut queue = VecDeque::new();
    let mut order = Vec::with_capacity(part.live.len());
    let entry = graph.entry().map(|(row, _)| row).into_iter();
    for start in entry.chain(live.iter()) {
        if seen.insert(start) {
            queue.push_back(start);
        }
        while let Some(old) = queue.pop_front() {
            if live.contains(old) {
                order.push(rows[old as usize]);
            }
            for next in graph.base(old) {
                if seen.insert(*next) {
                    queue.push_back(*next);
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::graph::testing::{Plain, numbers, pool, recall};
    use crate::{AcceptAll, Scratch, SearchSettings, Silent, check_connectivity, search};

    const SETTINGS: BuildSettings = BuildSettings {
        m: 8,
        ef_construct: 60,
        seed: 3,
    };
    const QUERIES: u64 = 80;

    /// A graph over rows of `all`.
    struct Input {
        rows: Vec<Row>,
        graph: BuiltGraph,
    }

    /// What distances are of.
    #[derive(Copy, Clone, Debug)]
    enum Of {
        Vectors,
        Codes,
    }

    const BOTH: [Of; 2] = [Of::Vectors, Of::Codes];

    /// Merges on a pool of so many threads; without inputs, builds.
    fn merge_on<'a>(
        (space, of): (&Plain, Of),
        live: Option<&RowSet>,
        inputs: &[MergeInput<'a, BuiltGraph>],
        threads: usize,
    ) -> BuiltGraph {
        let pool = pool(threads);
        let merged = match of {
            Of::Vectors => merge(space, live, inputs, SETTINGS, &pool, &Silent),
            Of::Codes => merge(&space.coded(), live, inputs, SETTINGS, &pool, &Silent),
        };
        merged.unwrap()
    }

    impl Input {
        fn new(all: &Plain, of: Of, rows: Vec<Row>) -> Self {
            let vectors = rows.iter().map(|row| all.vectors[*row as usize].clone());
            let space = Plain {
                vectors: vectors.collect(),
            };
            let graph = merge_on((&space, of), None, &[], 1);
            Self { rows, graph }
        }

        fn rows(&self, live: &RowSet) -> Vec<Row> {
            let place = |row: &Row| if live.contains(*row) { *row } else { GONE };
            self.rows.iter().map(place).collect()
        }
    }

    /// Vectors of `hidden` degrees of freedom in 16 dimensions.
    fn folded(rows: u32, hidden: usize, seed: u64) -> Plain {
        let mut number = numbers(seed);
        let waves: Vec<f32> = (0..16 * hidden).map(|_| number()).collect();
        let vector = |_| {
            let at: Vec<f32> = (0..hidden).map(|_| number()).collect();
            let along = |wave: &[f32]| wave.iter().zip(&at).map(|(a, b)| a * b).sum();
            waves.chunks(hidden).map(along).collect()
        };
        Plain {
            vectors: (0..rows).map(vector).collect(),
        }
    }

    fn merged(space: (&Plain, Of), live: &RowSet, inputs: &[Input]) -> BuiltGraph {
        let maps: Vec<Vec<Row>> = inputs.iter().map(|input| input.rows(live)).collect();
        let inputs = inputs.iter().zip(&maps);
        let inputs: Vec<_> = inputs
            .map(|(input, rows)| MergeInput {
                graph: &input.graph,
                rows,
            })
            .collect();
        let threads = |threads| merge_on(space, Some(live), &inputs, threads);
        let graph = threads(1);
        assert_eq!(graph, threads(3));
        check(&graph, live);
        graph
    }

    /// What every graph must keep.
    fn check(graph: &BuiltGraph, live: &RowSet) {
        assert_eq!(graph.count(), live.count());
        let reach = check_connectivity(graph);
        assert_eq!(reach.reachable, live.count());
        let top = live.iter().filter_map(|row| graph.level(row)).max();
        assert_eq!(graph.entry().map(|(_, level)| level), top);
        for row in 0..graph.len() {
            let level = graph.level(row);
            assert_eq!(level.is_some(), live.contains(row));
            for layer in 0..=LEVEL_MOST {
                let list = match layer {
                    0 => graph.base(row),
                    _ => graph.upper(layer, row),
                };
                let cap = if layer == 0 { 16 } else { 8 };
                assert!(list.len() <= cap && (list.is_empty() || level >= Some(layer)));
                let sound = |next: &Row| *next != row && graph.level(*next) >= Some(layer);
                assert!(list.iter().all(sound), "row {row}, layer {layer}: {list:?}");
                let once: std::collections::BTreeSet<&Row> = list.iter().collect();
                assert_eq!(once.len(), list.len());
            }
        }
    }

    /// Mean recall of ten rows in percent.
    fn quality(space: &Plain, graph: &BuiltGraph, live: &RowSet) -> f64 {
        let mut scratch = Scratch::new();
        let settings = SearchSettings::with_ef(10, 12);
        let sum: f64 = (0..QUERIES)
            .map(|nth| {
                let query = space.query(nth);
                let found = search(graph, &query, &AcceptAll, settings, &mut scratch);
                recall(&found.neighbors, &query.nearest(live, 10))
            })
            .sum();
        100.0 * sum / QUERIES as f64
    }

    /// Merges parts that end at `ends`, of whose rows those `dead` are gone, and compares with a
    /// graph built anew.
    fn compare(space: &Plain, ends: &[u32], dead: impl Fn(Row) -> bool, points: f64) {
        let live = (0..space.len()).filter(|row| !dead(*row));
        let live = RowSet::from_rows(space.len(), live);
        for of in BOTH {
            let starts = [0].into_iter().chain(ends.iter().copied());
            let inputs: Vec<Input> = starts
                .zip(ends)
                .map(|(start, end)| Input::new(space, of, (start..*end).collect()))
                .collect();
            let graph = merged((space, of), &live, &inputs);
            let of_merge = quality(space, &graph, &live);
            let built = merge_on((space, of), Some(&live), &[], 1);
            let of_build = quality(space, &built, &live);
            println!("{of:?}, ends {ends:?}: {of_merge:.1} %, built anew {of_build:.1} %");
            assert!(
                of_merge >= of_build - points,
                "{of:?}: {of_merge} % of {of_build} %"
            );
        }
    }

    fn share(row: Row, percent: u64) -> bool {
        level::mix(u64::from(row)) % 100 < percent
    }

    #[test]
    fn equal_and_unequal_parts_merge_to_a_graph_as_good() {
        for space in [folded(2_400, 5, 1), folded(2_400, 16, 2)] {
            compare(&space, &[1_200, 2_400], |_| false, 2.0);
            compare(&space, &[600, 1_200, 1_800, 2_400], |_| false, 2.0);
            compare(&space, &[200, 1_900, 1_901, 2_400], |_| false, 2.0);
        }
    }

    #[test]
    fn rows_that_are_gone_leave_a_graph_as_good() {
        for space in [folded(2_400, 5, 3), folded(2_400, 16, 4)] {
            for percent in [5, 20, 60, 85] {
                let gone = |row| share(row, percent);
                compare(&space, &[1_500, 2_400], gone, 2.0);
                // Of one part only.
                compare(&space, &[1_200, 2_400], |row| row < 1_200 && gone(row), 2.0);
            }
            compare(&space, &[2_400], |row| share(row, 40), 2.0);
            let corner = |row: Row| space.vectors[row as usize][0] > 0.3;
            compare(&space, &[1_500, 2_400], corner, 2.0);
        }
    }

    #[test]
    fn rows_without_a_graph_are_inserted() {
        let space = folded(2_000, 6, 5);
        compare(&space, &[1_000], |_| false, 2.0);
        compare(&space, &[400, 1_000], |row| share(row, 20), 2.0);
        compare(&space, &[], |row| share(row, 20), 0.0);
    }

    #[test]
    fn a_graph_that_lost_nothing_stays() {
        let space = folded(900, 5, 6);
        for of in BOTH {
            let input = Input::new(&space, of, (0..900).collect());
            let inputs = std::slice::from_ref(&input);
            let graph = merged((&space, of), &RowSet::full(900), inputs);
            assert_eq!(graph.entry(), input.graph.entry());
            for row in 0..900 {
                let sorted = |graph: &BuiltGraph| {
                    let mut list = graph.base(row).to_vec();
                    list.sort_unstable();
                    list
                };
                assert_eq!(sorted(&graph), sorted(&input.graph));
                assert_eq!(graph.level(row), input.graph.level(row));
            }
        }
    }

    #[test]
    fn few_rows_and_none() {
        BOTH.into_iter().for_each(few_rows_and_none_of);
    }

    fn few_rows_and_none_of(of: Of) {
        let plain = folded(40, 5, 7);
        let space = (&plain, of);
        let rows = |rows: std::ops::Range<Row>| Input::new(&plain, of, rows.collect());
        let live = |rows: std::ops::Range<Row>| RowSet::from_rows(40, rows);
        merged(space, &live(0..2), &[rows(0..1), rows(1..2)]);
        merged(space, &live(3..4), &[rows(0..20), rows(20..40)]);
        merged(
            space,
            &live(0..40),
            &[rows(0..1), rows(1..39), rows(39..40)],
        );
        merged(space, &live(0..0), &[rows(0..20)]);
        // All of one part is gone, and a part that had nothing.
        merged(
            space,
            &live(20..40),
            &[rows(0..20), rows(20..40), rows(0..0)],
        );
    }

    #[test]
    fn equal_vectors_can_all_be_reached() {
        let space = Plain {
            vectors: (0..1_200u32).map(|row| vec![(row % 7) as f32; 4]).collect(),
        };
        for of in BOTH {
            let rows = |rows: std::ops::Range<Row>| Input::new(&space, of, rows.collect());
            let inputs = [rows(0..500), rows(500..1_200)];
            merged((&space, of), &RowSet::full(1_200), &inputs);
            let live = (0..1_200).filter(|row| share(*row, 70));
            merged((&space, of), &RowSet::from_rows(1_200, live), &inputs);
        }
    }

    #[test]
    fn ten_generations_stay_as_good() {
        for (hidden, seed, of) in [
            (5, 8, Of::Vectors),
            (16, 9, Of::Vectors),
            (16, 9, Of::Codes),
        ] {
            let space = folded(4_000, hidden, seed);
            let mut live = RowSet::from_rows(4_000, 0..1_000);
            let mut input = Input::new(&space, of, live.iter().collect());
            for generation in 0..10 {
                let first = 1_000 + generation * 300;
                let new = Input::new(&space, of, (first..first + 300).collect());
                let gone: Vec<Row> = live.iter().collect();
                let gone = gone
                    .into_iter()
                    .filter(|row| share(*row ^ generation << 16, 20));
                gone.for_each(|row| {
                    live.remove(row);
                });
                live.insert_range(first, first + 300);
                let graph = merged((&space, of), &live, &[input, new]);
                let of_merge = quality(&space, &graph, &live);
                let built = merge_on((&space, of), Some(&live), &[], 1);
                let of_build = quality(&space, &built, &live);
                println!(
                    "{of:?}, generation {generation}: {of_merge:.1} %, built anew {of_build:.1} %"
                );
                assert!(of_merge >= of_build - 2.0, "{of_merge} % of {of_build} %");
                // The graph's rows are those of the whole space; absent ones map to nothing.
                let rows = (0..4_000).collect();
                input = Input { rows, graph };
            }
        }
    }

    struct After(AtomicU32, u32);

    impl Progress for After {
        fn rows_done(&self, rows: u32) {
            assert!(self.0.swap(rows, Ordering::Relaxed) <= rows);
        }

        fn cancelled(&self) -> bool {
            self.0.load(Ordering::Relaxed) >= self.1
        }
    }

    #[test]
    fn a_merge_tells_how_far_it_is_and_can_be_cancelled() {
        let space = folded(2_000, 5, 10);
        let parts = [(0..900).collect(), (900..1_700).collect()];
        let parts = parts.map(|rows| Input::new(&space, Of::Vectors, rows));
        let inputs: Vec<_> = parts
            .iter()
            .map(|part| MergeInput {
                graph: &part.graph,
                rows: &part.rows,
            })
            .collect();
        let run = |most| {
            let progress = After(AtomicU32::new(0), most);
            let graph = merge(&space, None, &inputs, SETTINGS, &pool(2), &progress);
            (graph, progress.0.into_inner())
        };
        for (most, rows_done) in [(0, 0), (901, 932), (1_700, 1_700)] {
            assert_eq!(
                run(most),
                (Err(BuildError::Cancelled { rows_done }), rows_done)
            );
        }
        let (graph, rows) = run(u32::MAX);
        assert_eq!((graph.unwrap().count(), rows), (2_000, 2_000));
    }

    #[test]
    fn rows_without_a_place_are_refused() {
        let space = folded(20, 5, 11);
        let input = Input::new(&space, Of::Vectors, (0..10).collect());
        let run = |rows: &[Row]| {
            let input = MergeInput {
                graph: &input.graph,
                rows,
            };
            merge(&space, None, &[input], SETTINGS, &pool(1), &Silent)
        };
        let refused = |row| Err(BuildError::MergeRows { input: 0, row });
        assert_eq!(run(&[0, 1, 20]), refused(2));
        assert_eq!(run(&[0, 1, 2, 1]), refused(3));
        assert_eq!(run(&[0, 1]).unwrap().count(), 20);
    }
}
