//! The constants of the planner's cost function, measured on this machine.
//!
//! `cargo run --release -p benches --bin plans [-- --rows 40000] [--queries 60] [--dims 128,768]`
//!
//! Makes collections of generated vectors, has queries take every access path under filters of
//! several shares, and solves for what each step costs from the counts and times that `explain`
//! tells. Prints each constant beside the one in use (`query::Constants`), and how far the costs
//! that the planner would predict are from the times that were measured. One thread; the figures
//! are medians over the queries.

#![expect(clippy::print_stdout, reason = "it prints tables")]

use std::sync::Arc;

use benches::collection::nearest;
use benches::collection::{open, with_graphs};
use benches::{Failure, argument};
use engine::{Collection, Db, Snapshot, StepKind, SystemClock};
use engine::{UpsertRows, WriteBatch};
use format_spec::{
    Codec, Element, FieldIndex, FieldType, HnswSettings, Metric, PointId, Schema, Value,
    VectorSchema,
};
use query::{
    AccessPath, Actual, CodeUse, Condition, Constants, Env, Explain, FieldPath, FieldTest, Filter,
    QueryRequest, SearchParams,
};

const NUMBERS: i64 = 10_000;
/// Hidden coordinates of the generated vectors.
const HIDDEN: usize = 32;
const SEED: u64 = 7;
/// Text of a payload beside its numbers, so that it is of a usual size.
const TEXT: usize = 200;
/// Shares of the rows that filters match.
const SHARES: [f64; 5] = [1.0, 0.5, 0.1, 0.02, 0.001];

fn main() -> Result<(), Failure> {
    let number = |name: &str, default: usize| {
        argument(name).map_or(Ok(default), |text| text.parse::<usize>())
    };
    let (rows, queries) = (number("--rows", 40_000)?, number("--queries", 60)?);
    let dims = argument("--dims").unwrap_or_else(|| "128,768".to_owned());
    let dims = dims
        .split(',')
        .map(str::parse)
        .collect::<Result<Vec<usize>, _>>()?;
    let [small, large] = dims[..] else {
        return Err("--dims takes two".into());
    };
    let mut made = Vec::new();
    for dim in [small, large] {
        let graphs = Bench::new(dim, rows, queries, Codec::Auto, true)?;
        let product = Bench::new(dim, rows, queries, Codec::Product16, false)?;
        made.push((graphs.steps()?, product.product()?));
        graphs.check()?;
    }
    let constants = constants([small, large], &[made[0], made[1]]);
    println!("\n| constant | in use | measured |\n|---|--:|--:|");
    let used = Constants::IN_USE.named();
    for ((name, used), (_, measured)) in used.iter().zip(constants.named()) {
        println!("| {name} | {used} | {measured:.3} |");
    }
    Ok(())
}

/// What each step costs at one dimension, in nanoseconds, and how many there are of it.
#[derive(Copy, Clone, Default, Debug)]
struct Steps {
    scan: f64,
    start: f64,
    block: f64,
    gather: f64,
    score: f64,
    refined_for_each: f64,
    scored_for_each: f64,
    node: f64,
    nodes: [f64; 2],
    list: f64,
    expanded: [f64; 2],
    payload_block: f64,
    payload: f64,
}

/// A fixed part and a part for each row.
type Product = (f64, f64);

struct Bench {
    dim: usize,
    rows: usize,
    queries: Vec<Vec<f32>>,
    snapshot: Snapshot,
    pool: rayon::ThreadPool,
    clock: SystemClock,
    _directory: tempfile::TempDir,
    _db: Arc<Db>,
}

impl Bench {
    fn new(
        dim: usize,
        rows: usize,
        queries: usize,
        codec: Codec,
        graph: bool,
    ) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let db = open(directory.path(), |settings| {
            if graph {
                with_graphs(settings);
            }
        })?;
        let space = Space::new(dim);
        let collection = make(&db, &space, rows, codec)?;
        let snapshot = collection.snapshot();
        let sources = snapshot.sources().len();
        if sources != 1 {
            return Err(format!("{sources} sources; one was to be made").into());
        }
        if graph && snapshot.sources()[0].coded_graph(0).is_none() {
            return Err("the segment has no graph with codes".into());
        }
        Ok(Self {
            dim,
            rows,
            queries: (0..queries)
                .map(|n| space.vector(1_000_000_007 + n))
                .collect(),
            snapshot,
            pool: rayon::ThreadPoolBuilder::new().num_threads(1).build()?,
            clock: SystemClock::new(),
            _directory: directory,
            _db: db,
        })
    }

    /// What every query does along a path under a filter.
    fn run(
        &self,
        path: Option<AccessPath>,
        field: (&str, f64),
        limit: usize,
        codes: bool,
    ) -> Result<Vec<Told>, Failure> {
        let env = Env {
            pool: &self.pool,
            clock: &self.clock,
            deadline: None,
            later: None,
        };
        let params = SearchParams {
            codes: CodeUse {
                ignore: !codes,
                ..CodeUse::default()
            },
            ..SearchParams::default()
        };
        let options = Explain {
            analyze: true,
            path,
        };
        let mut told = Vec::new();
        for query in &self.queries {
            let filtered = field.1 < 1.0 || field.0 != "number";
            let filter = filtered.then(|| below(field)).transpose()?;
            let request = QueryRequest {
                filter,
                ..nearest(query, limit, params.clone())
            };
            // The second time, what it reads is in the caches as far as it fits.
            query::explain(&self.snapshot, &request, &env, options)?;
            let explained = query::explain(&self.snapshot, &request, &env, options)?;
            let source = explained.sources.into_iter().next().ok_or("no source")?;
            let actual = source.actual.ok_or("not tried")?;
            let choice = source.choice.ok_or("nothing matches")?;
            if path.is_some_and(|path| actual.path != Some(path)) {
                return Err(format!("{path:?} was to be taken: {actual:?}").into());
            }
            told.push(Told {
                predicted: choice.cost_ns,
                actual,
            });
        }
        Ok(told)
    }

    fn steps(&self) -> Result<Steps, Failure> {
        let of = |path, share, limit, codes| self.run(Some(path), ("number", share), limit, codes);
        let scan = of(AccessPath::Exact, 1.0, 10, true)?;
        let scan = median(&scan, |told| told.search() / told.actual.distances as f64);
        // One equation for each path and share: start, blocks, codes of several bits, vectors.
        let mut equations = Vec::new();
        for share in SHARES {
            for path in [AccessPath::Gather, AccessPath::Codes] {
                let told = of(path, share, 10, true)?;
                let of = |count: fn(&Actual) -> u64| median(&told, |t| count(&t.actual) as f64);
                let counts = [1.0, of(|a| a.blocks), of(|a| a.refined), of(|a| a.rescored)];
                equations.push((counts, median(&told, Told::search)));
            }
        }
        let whole = of(AccessPath::Codes, 1.0, 10, true)?;
        let [start, block, gather, score] = solve(&equations);
        let mut steps = Steps {
            scan,
            start,
            block,
            gather,
            score,
            refined_for_each: median(&whole, |told| told.actual.refined as f64 / 10.0),
            scored_for_each: median(&whole, |told| told.actual.rescored as f64 / 10.0),
            ..Steps::default()
        };
        let mut nodes = Vec::new();
        for (at, limit) in [10, 100].into_iter().enumerate() {
            let told = of(AccessPath::Graph, 1.0, limit, true)?;
            steps.nodes[at] = median(&told, |told| told.actual.nodes as f64);
            nodes.push(median(&told, |told| {
                let known = start
                    + gather * told.actual.refined as f64
                    + score * told.actual.rescored as f64;
                (told.search() - known) / told.actual.nodes as f64
            }));
        }
        steps.node = nodes.iter().sum::<f64>() / 2.0;
        let mut equations = Vec::new();
        for (at, limit) in [10, 100].into_iter().enumerate() {
            let told = of(AccessPath::Graph, 1.0, limit, false)?;
            let lists = median(&told, |told| told.actual.nodes as f64);
            let distances = median(&told, |told| told.actual.distances as f64);
            steps.expanded[at] = lists;
            equations.push(([lists, distances], median(&told, Told::search)));
        }
        let told = of(AccessPath::GraphTwoHops, 0.1, 10, false)?;
        let lists = median(&told, |told| told.actual.nodes as f64);
        let distances = median(&told, |told| told.actual.distances as f64);
        equations.push(([lists, distances], median(&told, Told::search)));
        let [list, vector] = solve(&equations);
        steps.list = list;
        // Vectors that a graph leads to are the same work as those that codes let through.
        steps.score = (steps.score.max(0.0) + vector.max(0.0)) / 2.0;
        (steps.payload_block, steps.payload) = self.payloads()?;
        println!("{} dimensions, {} rows: {steps:.1?}", self.dim, self.rows);
        Ok(steps)
    }

    /// Decompressing one block of payloads, and testing one payload: all rows of all blocks, and
    /// few rows of about as many blocks.
    fn payloads(&self) -> Result<(f64, f64), Failure> {
        let told = self.run(Some(AccessPath::Exact), ("bare", 0.5), 10, true)?;
        let all = median(&told, Told::filter);
        let told = self.run(Some(AccessPath::Exact), ("both", 0.05), 10, true)?;
        let few = median(&told, Told::filter);
        let tested = median(&told, |told| told.actual.payloads as f64);
        let blocks = self.rows as f64 / 64.0;
        let touched = blocks * (1.0 - 0.95_f64.powf(64.0));
        let equations = [([blocks, self.rows as f64], all), ([touched, tested], few)];
        let [block, payload] = solve(&equations);
        Ok((block, payload))
    }

    fn product(&self) -> Result<Product, Failure> {
        let mut equations = Vec::new();
        for share in [1.0, 0.5, 0.1] {
            let told = self.run(Some(AccessPath::Codes), ("number", share), 10, true)?;
            let rows = median(&told, |told| told.actual.refined as f64);
            equations.push(([1.0, rows], median(&told, Told::search)));
        }
        let [start, row] = solve(&equations);
        Ok((start, row))
    }

    /// What the planner chooses and predicts, beside what that took and what the best path took.
    fn check(&self) -> Result<(), Failure> {
        println!("| dim | share | chosen | predicted us | took us | best path | us |");
        println!("|--:|--:|---|--:|--:|---|--:|");
        for share in SHARES {
            let told = self.run(None, ("number", share), 10, true)?;
            let took = median(&told, Told::search);
            let predicted = median(&told, |told| told.predicted);
            let chosen = told[0].actual.path.map_or("-", AccessPath::name);
            let mut best = ("-", f64::INFINITY);
            for path in &AccessPath::ALL[..5] {
                let Ok(told) = self.run(Some(*path), ("number", share), 10, true) else {
                    continue;
                };
                let time = median(&told, Told::search);
                if time < best.1 {
                    best = (path.name(), time);
                }
            }
            println!(
                "| {} | {share} | {chosen} | {:.1} | {:.1} | {} | {:.1} |",
                self.dim,
                predicted / 1e3,
                took / 1e3,
                best.0,
                best.1 / 1e3
            );
        }
        Ok(())
    }
}

/// One query along one path.
struct Told {
    predicted: f64,
    actual: Actual,
}

impl Told {
    fn search(&self) -> f64 {
        self.actual.search.as_secs_f64() * 1e9
    }

    fn filter(&self) -> f64 {
        self.actual.filter.as_secs_f64() * 1e9
    }
}

fn median(told: &[Told], of: impl Fn(&Told) -> f64) -> f64 {
    let mut values: Vec<f64> = told.iter().map(of).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The constants that make the steps cost what they do at two dimensions.
fn constants(dims: [usize; 2], made: &[(Steps, Product); 2]) -> Constants {
    let bytes = dims.map(|dim| (dim * 4) as f64);
    let padded = dims.map(|dim| dim.next_multiple_of(64) as f64);
    let line = |at: [f64; 2], of: fn(&Steps) -> f64| {
        let (small, large) = (of(&made[0].0), of(&made[1].0));
        let slope = ((large - small) / (at[1] - at[0])).max(0.0);
        ((small - slope * at[0]).max(0.0), slope)
    };
    let mean = |of: fn(&Steps) -> f64| f64::midpoint(of(&made[0].0), of(&made[1].0));
    let (scan_row, scan_byte) = line(bytes, |s| s.scan);
    let (score_row, score_byte) = line(bytes, |s| s.score);
    let (block, block_dim) = line(padded, |s| s.block);
    // A row of four bits a dimension.
    let (gather_row, gather_byte) = line(padded.map(|dim| dim / 2.0 + 16.0), |s| s.gather);
    let (node, node_dim) = line(padded, |s| s.node);
    let each = |of: fn(&Steps) -> [f64; 2]| {
        let (few, many) = (mean_of(made, of, 0), mean_of(made, of, 1));
        let each = (many - few) / 90.0;
        (few - 10.0 * each, each)
    };
    let (nodes_least, nodes_for_each) = each(|s| s.nodes);
    let (expanded_least, expanded_for_each) = each(|s| s.expanded);
    let product = |at: usize| made[at].1.1;
    let row_len = dims.map(|dim| (dim * 4) as f64 / 16.0);
    let product_byte = ((product(1) - product(0)) / (row_len[1] - row_len[0])).max(0.0);
    Constants {
        scan_row,
        scan_byte,
        score_row,
        score_byte,
        code_start_dim: (made[0].0.start + made[1].0.start) / (padded[0] + padded[1]),
        block,
        block_dim,
        gather_row,
        gather_byte,
        refined_for_each: mean(|s| s.refined_for_each),
        scored_for_each: mean(|s| s.scored_for_each),
        product_row: (product(0) - product_byte * row_len[0]).max(0.0),
        product_byte,
        product_start: f64::midpoint(made[0].1.0, made[1].1.0),
        node,
        node_dim,
        nodes_least,
        nodes_for_each,
        list: mean(|s| s.list),
        expanded_least,
        expanded_for_each,
        payload_block: mean(|s| s.payload_block),
        payload: mean(|s| s.payload),
    }
}

fn mean_of(made: &[(Steps, Product); 2], of: fn(&Steps) -> [f64; 2], at: usize) -> f64 {
    f64::midpoint(of(&made[0].0)[at], of(&made[1].0)[at])
}

/// Least squares by the normal equations; each equation is divided by its time, so that errors are
/// relative, and what comes out below zero is left out of the model.
fn solve<const N: usize>(equations: &[([f64; N], f64)]) -> [f64; N] {
    let mut used = [true; N];
    loop {
        let solution = normal(equations, &used);
        let worst = (0..N)
            .filter(|&n| used[n])
            .min_by(|&a, &b| solution[a].total_cmp(&solution[b]));
        match worst.filter(|&worst| solution[worst] < 0.0) {
            Some(worst) => used[worst] = false,
            None => return solution,
        }
    }
}

fn normal<const N: usize>(equations: &[([f64; N], f64)], used: &[bool; N]) -> [f64; N] {
    let mut matrix = [[0.0; N]; N];
    let mut right = [0.0; N];
    for (counts, time) in equations {
        let scaled = counts.map(|count| count / time);
        for row in (0..N).filter(|&n| used[n]) {
            right[row] += scaled[row];
            for column in (0..N).filter(|&n| used[n]) {
                matrix[row][column] += scaled[row] * scaled[column];
            }
        }
    }
    for n in 0..N {
        // A little of the identity: steps that always come together share their cost.
        matrix[n][n] = matrix[n][n] * (1.0 + 1e-9) + f64::from(u8::from(!used[n]));
    }
    for pivot in 0..N {
        let (line, value) = (matrix[pivot], right[pivot]);
        for (row, right) in matrix.iter_mut().zip(&mut right).skip(pivot + 1) {
            let factor = row[pivot] / line[pivot];
            let pairs = row.iter_mut().zip(line);
            pairs.for_each(|(cell, above)| *cell -= factor * above);
            *right -= factor * value;
        }
    }
    for row in (0..N).rev() {
        let known: f64 = (row + 1..N).map(|n| matrix[row][n] * right[n]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    right
}

/// Vectors of few hidden coordinates, as those of real things are.
struct Space {
    dim: usize,
    map: Vec<f32>,
}

impl Space {
    fn new(dim: usize) -> Self {
        let mut random = Random(SEED);
        let map = (0..dim * HIDDEN).map(|_| random.normal()).collect();
        Self { dim, map }
    }

    fn vector(&self, at: usize) -> Vec<f32> {
        let mut random = Random((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ SEED);
        let hidden: Vec<f32> = (0..HIDDEN).map(|_| random.normal()).collect();
        let coordinate = |row: &[f32]| -> f32 {
            let sum: f32 = row.iter().zip(&hidden).map(|(a, b)| a * b).sum();
            sum + 0.5 * random.normal()
        };
        self.map
            .chunks_exact(HIDDEN)
            .map(coordinate)
            .take(self.dim)
            .collect()
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About normal: the sum of eight bytes.
    fn normal(&mut self) -> f32 {
        let sum: u16 = self
            .next()
            .to_le_bytes()
            .iter()
            .map(|&b| u16::from(b))
            .sum();
        (f32::from(sum) - 1_020.0) / 209.0
    }
}

fn below((field, share): (&str, f64)) -> Result<Filter, Failure> {
    let condition = |key: &str, share: f64| -> Result<Condition, Failure> {
        Ok(Condition::Field {
            path: FieldPath::parse(key)?,
            test: FieldTest::Range {
                gt: None,
                gte: None,
                lt: Some(share * NUMBERS as f64),
                lte: None,
            },
        })
    };
    let must = match field {
        "both" => vec![condition("number", share)?, condition("bare", 0.5)?],
        field => vec![condition(field, share)?],
    };
    Ok(Filter {
        must,
        ..Filter::default()
    })
}

fn make(db: &Db, space: &Space, rows: usize, codec: Codec) -> Result<Arc<Collection>, Failure> {
    let vector = VectorSchema {
        name: String::new(),
        dim: space.dim as u32,
        metric: Metric::Euclid,
        element: Element::F32,
        hnsw: HnswSettings {
            full_scan_threshold_kb: 0,
            ..HnswSettings::default()
        },
        codec,
    };
    let schema = Schema {
        vectors: vec![vector],
        fields: vec![FieldIndex {
            path: "number".to_owned(),
            field_type: FieldType::Integer,
            settings: Value::Object(Vec::new()).to_bytes(),
        }],
        ..Schema::default()
    };
    let collection = db.create_collection("plans", schema)?;
    let mut random = Random(SEED + 1);
    let ids: Vec<usize> = (0..rows).collect();
    for ids in ids.chunks(1_000) {
        let mut points = UpsertRows::new(&collection.schema());
        for &at in ids {
            points.begin(PointId::Number(at as u64));
            points.vector(0, &space.vector(at))?;
            let mut number = || Value::Int((random.next() % NUMBERS as u64) as i64);
            let members = vec![
                ("bare".to_owned(), number()),
                ("number".to_owned(), number()),
                ("text".to_owned(), Value::Text(format!("{at:0>TEXT$}"))),
            ];
            points.payload(&Value::Object(members).to_bytes());
        }
        let mut batch = WriteBatch::new();
        batch.upsert(points);
        collection.write(batch)?;
    }
    db.step_of(StepKind::Flush);
    while collection.snapshot().sources().len() > 1 || !benches::collection::indexed(&collection) {
        collection.run_now();
        if !db.step() {
            break;
        }
        while db.step() {}
    }
    while db.step() {}
    Ok(collection)
}
