//! Merging graphs against building them anew, on codes of four bits: time and recall.
//!
//! `cargo run --release -p benches --bin merge -- --data DIR [--rows N] [--threads N] [--parts 2,4]
//! [--generations 10] [--dead 0] [--ef 32,64,128,256] [--queries N]`
//!
//! Each part has codes of its own, with its own centre, and the merged rows have codes of theirs,
//! as in segments. Recall of ten rows is that of a search with whole vectors, so that it is the
//! graph's. CPU time is the process's.

#![expect(clippy::print_stdout, reason = "it prints tables")]

use std::path::Path;
use std::str::FromStr;

use benches::dataset::Dataset;
use benches::usage::cpu_seconds;
use benches::vectors::{ToQuery, Vectors};
use benches::{Failure, argument, timed};
use index::{
    AcceptAll, BuildSettings, BuiltGraph, CodedSpace, GONE, MergeInput, Row, RowSet, Scratch,
    SearchSettings, Silent, Space, TopK, build, check_connectivity, merge, scan_set, search,
};
use quant::{BlockBuilder, CodeBits, CodeMetric, CodePair, CodeSpace, Encoder, Rotation};

const SETTINGS: BuildSettings = BuildSettings {
    m: 16,
    ef_construct: 100,
    seed: 1,
};
const K: usize = 10;

fn main() -> Result<(), Failure> {
    let dir = argument("--data").ok_or("--data DIR is missing")?;
    let data = Dataset::read(Path::new(&dir))?;
    let rows = number("--rows", data.base.rows)?.min(data.base.rows);
    let vectors = Vectors::new(&data, rows)?;
    let queries = number("--queries", data.queries.rows)?.min(data.queries.rows);
    let asked: Result<Vec<_>, Failure> = (0..queries)
        .map(|at| vectors.query(data.queries.row(at)))
        .collect();
    let bench = Bench {
        data: &data,
        vectors: &vectors,
        asked: asked?,
        pool: rayon::ThreadPoolBuilder::new()
            .num_threads(number("--threads", 2)?)
            .build()?,
        widths: numbers("--ef", "32,64,128,256")?,
    };
    for parts in numbers("--parts", "2,4")? {
        bench.parts(parts as usize, number("--dead", 0)?)?;
    }
    bench.generations(number("--generations", 10)?)
}

fn number<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    name: &str,
    default: T,
) -> Result<T, Failure> {
    Ok(argument(name).map_or(Ok(default), |given| given.parse())?)
}

fn numbers(name: &str, default: &str) -> Result<Vec<u32>, Failure> {
    let given = argument(name).unwrap_or_else(|| default.to_owned());
    let numbers = given.split(',').filter(|number| !number.is_empty());
    Ok(numbers.map(str::parse).collect::<Result<_, _>>()?)
}

/// Seconds of some work: on the clock, and of all threads.
#[derive(Copy, Clone, Default)]
struct Cost {
    wall: f64,
    cpu: f64,
}

fn cost<T>(work: impl FnOnce() -> T) -> Result<(T, Cost), Failure> {
    let before = cpu_seconds();
    let (out, wall) = timed(work);
    let cost = Cost {
        wall: wall.as_secs_f64(),
        cpu: cpu_seconds() - before,
    };
    Ok((out, cost))
}

/// Codes of their own for these rows of the data set.
fn codes(data: &Dataset, rows: &[Row]) -> CodedSpace<'static> {
    let vectors = || rows.iter().map(|row| data.base.row(*row as usize));
    let rotation = Rotation::new(data.base.columns, 7);
    let space = CodeSpace::of_sample(rotation, vectors().take(4_096));
    let mut encoder = Encoder::new(&space, CodeMetric::Dot, CodeBits::Four);
    let mut block = BlockBuilder::new(space.padded());
    let (mut bytes, mut blocks) = (Vec::new(), Vec::new());
    for vector in vectors() {
        encoder.encode(vector, &mut block, &mut bytes);
        if block.is_full() {
            block.finish(&mut blocks);
        }
    }
    if !block.is_empty() {
        block.finish(&mut blocks);
    }
    let pair = CodePair::new(CodeMetric::Dot, space.padded());
    CodedSpace::new(bytes, blocks, pair, rows.len() as u32)
}

/// A graph and what its rows are in the data set.
struct Part {
    rows: Vec<Row>,
    graph: BuiltGraph,
}

struct Bench<'a> {
    data: &'a Dataset,
    vectors: &'a Vectors,
    asked: Vec<ToQuery<'a>>,
    pool: rayon::ThreadPool,
    widths: Vec<u32>,
}

impl Bench<'_> {
    fn built(&self, rows: Vec<Row>) -> Result<(Part, Cost), Failure> {
        let codes = codes(self.data, &rows);
        let (graph, cost) = cost(|| build(&codes, None, SETTINGS, &self.pool, &Silent))?;
        Ok((
            Part {
                rows,
                graph: graph?,
            },
            cost,
        ))
    }

    fn merged(&self, parts: &[Part], live: &RowSet) -> Result<(Part, Cost), Failure> {
        let mut rows = Vec::new();
        let map = |part: &Part| -> Vec<Row> {
            let place = |row: &Row| {
                if !live.contains(*row) {
                    return GONE;
                }
                rows.push(*row);
                rows.len() as Row - 1
            };
            part.rows.iter().map(place).collect()
        };
        let maps: Vec<Vec<Row>> = parts.iter().map(map).collect();
        let codes = codes(self.data, &rows);
        let inputs = parts.iter().zip(&maps);
        let inputs: Vec<_> = inputs
            .map(|(part, rows)| MergeInput {
                graph: &part.graph,
                rows,
            })
            .collect();
        let (graph, cost) = cost(|| merge(&codes, None, &inputs, SETTINGS, &self.pool, &Silent))?;
        let graph = graph?;
        let reach = check_connectivity(&graph);
        if reach.reachable != reach.rows {
            return Err(format!("{reach:?}").into());
        }
        Ok((Part { rows, graph }, cost))
    }

    /// Prints recall and distances a query at each width.
    fn recall(&self, name: &str, part: &Part) {
        let live = RowSet::from_rows(self.vectors.len(), part.rows.iter().copied());
        let mut line = format!("{name:>8}");
        let truth: Vec<Vec<Row>> = self
            .asked
            .iter()
            .map(|query| nearest(query, &live))
            .collect();
        let mut scratch = Scratch::new();
        for ef in &self.widths {
            let settings = SearchSettings::with_ef(K as u32, *ef);
            let (mut hits, mut scored) = (0, 0);
            for (query, truth) in self.asked.iter().zip(&truth) {
                let query = OfPart { query, part };
                let found = search(&part.graph, &query, &AcceptAll, settings, &mut scratch);
                scored += found.distances;
                let rows = found.neighbors.iter();
                let rows: Vec<Row> = rows.map(|near| part.rows[near.row as usize]).collect();
                hits += truth.iter().filter(|row| rows.contains(row)).count();
            }
            let asked = self.asked.len();
            let share = hits as f64 / (asked * K) as f64;
            line += &format!("  ef {ef}: {share:.4} {:>5}", scored / asked as u64);
        }
        println!("{line}");
    }

    fn parts(&self, count: usize, dead: u32) -> Result<(), Failure> {
        let rows: Vec<Row> = (0..self.vectors.len()).collect();
        let live = rows.iter().copied().filter(|row| drawn(*row, 0) >= dead);
        let live = RowSet::from_rows(self.vectors.len(), live);
        let parts: Result<Vec<Part>, Failure> = rows
            .chunks(rows.len().div_ceil(count))
            .map(|rows| Ok(self.built(rows.to_vec())?.0))
            .collect();
        let (merged, of_merge) = self.merged(&parts?, &live)?;
        let (rebuilt, of_build) = self.built(merged.rows.clone())?;
        println!("{count} equal parts, {dead} % of the rows gone");
        compare(of_merge, of_build);
        self.recall("merged", &merged);
        self.recall("rebuilt", &rebuilt);
        Ok(())
    }

    /// Each generation loses a tenth of its rows and merges with as many new ones.
    fn generations(&self, count: u32) -> Result<(), Failure> {
        if count == 0 {
            return Ok(());
        }
        let all = self.vectors.len();
        let (mut part, _) = self.built((0..all / 2).collect())?;
        let fresh = all / 2 / count;
        let mut last = Cost::default();
        for generation in 0..count {
            let kept = part.rows.iter().copied();
            let kept = kept.filter(|row| drawn(*row, generation + 1) >= 10);
            let first = all / 2 + generation * fresh;
            let live = RowSet::from_rows(all, kept.chain(first..first + fresh));
            let (new, _) = self.built((first..first + fresh).collect())?;
            let (merged, of_merge) = self.merged(&[part, new], &live)?;
            part = merged;
            last = of_merge;
        }
        let (rebuilt, of_build) = self.built(part.rows.clone())?;
        println!(
            "{count} generations, {} rows; the last merge",
            part.rows.len()
        );
        compare(last, of_build);
        self.recall("merged", &part);
        self.recall("rebuilt", &rebuilt);
        Ok(())
    }
}

fn compare(merged: Cost, built: Cost) {
    for (name, cost) in [("merge", merged), ("rebuild", built)] {
        println!("{name:>8}  {:.2} s, CPU {:.2} s", cost.wall, cost.cpu);
    }
    println!(
        "{:>8}  {:.1} %, CPU {:.1} %",
        "ratio",
        100.0 * merged.wall / built.wall,
        100.0 * merged.cpu / built.cpu
    );
}

/// Distances to the rows of a part.
struct OfPart<'a> {
    query: &'a ToQuery<'a>,
    part: &'a Part,
}

impl index::Scorer for OfPart<'_> {
    fn distance(&self, row: Row) -> f32 {
        self.query.distance(self.part.rows[row as usize])
    }
}

fn nearest(query: &ToQuery<'_>, live: &RowSet) -> Vec<Row> {
    let mut top = TopK::new(K);
    scan_set(query, live, &mut top);
    let rows = top.into_sorted();
    rows.iter().map(|near| near.row).collect()
}

/// A number below 100 from a row and a draw.
fn drawn(row: Row, draw: u32) -> u32 {
    let hash = (row ^ draw.wrapping_mul(0x85eb_ca77)).wrapping_mul(0x9e37_79b1);
    let hash = (hash ^ hash >> 15).wrapping_mul(0x2c1b_3c6d);
    (hash ^ hash >> 16) % 100
}
