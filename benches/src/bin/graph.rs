//! The graph by itself, on one thread: build time, recall and queries a second for each width of
//! the beam, for the adaptive stop, and for filters.
//!
//! `cargo run --release -p benches --bin graph -- --data DIR [--rows N] [--queries N] [--limit K]
//! [--m M] [--ef-construct EF] [--threads 1,2] [--ef 32,64,default] [--filters 50,10,far50]`
//!
//! Vectors are f32 under the cosine distance. A filter is a percentage of the rows: at random, or
//! with `far` of the clusters farthest from each query. Beside it stands the exact scan of the
//! accepted rows.

#![expect(clippy::print_stdout, reason = "it prints tables")]

use std::path::Path;
use std::str::FromStr;

use benches::dataset::Dataset;
use benches::vectors::{ToQuery, Vectors};
use benches::{Failure, argument, timed};
use index::{
    Accept, AcceptAll, BuildSettings, BuiltGraph, Row, RowSet, Scratch, SearchSettings, Silent,
    Space, TopK, build, check_connectivity, scan, scan_all, scan_set, search,
};

/// Clusters of the `far` filters.
const CLUSTERS: u32 = 100;

fn main() -> Result<(), Failure> {
    let dir = argument("--data").ok_or("--data DIR is missing")?;
    let data = Dataset::read(Path::new(&dir))?;
    let rows = number("--rows", data.base.rows)?.min(data.base.rows);
    let queries = number("--queries", data.queries.rows)?.min(data.queries.rows);
    let limit = number("--limit", 10)?;
    let vectors = Vectors::new(&data, rows)?;
    let graph = built(&vectors)?;
    let asked: Result<Vec<_>, Failure> = (0..queries)
        .map(|at| vectors.query(data.queries.row(at)))
        .collect();
    let bench = Bench {
        vectors: &vectors,
        graph,
        asked: asked?,
        limit,
    };
    bench.beams()?;
    bench.filters()
}

fn number<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    name: &str,
    default: T,
) -> Result<T, Failure> {
    Ok(argument(name).map_or(Ok(default), |given| given.parse())?)
}

fn built(vectors: &Vectors) -> Result<BuiltGraph, Failure> {
    let settings = BuildSettings {
        m: number("--m", 16)?,
        ef_construct: number("--ef-construct", 100)?,
        seed: 1,
    };
    let mut graph = None;
    for threads in argument("--threads")
        .unwrap_or_else(|| "2".to_owned())
        .split(',')
    {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.parse()?)
            .build()?;
        let (built, took) = timed(|| build(vectors, None, settings, &pool, &Silent));
        println!("build: {:.2} s on {threads} threads", took.as_secs_f64());
        graph = Some(built?);
    }
    let graph = graph.ok_or("--threads names none")?;
    let reach = check_connectivity(&graph);
    println!("reachable: {} of {} rows", reach.reachable, reach.rows);
    Ok(graph)
}

struct Bench<'a> {
    vectors: &'a Vectors,
    graph: BuiltGraph,
    asked: Vec<ToQuery<'a>>,
    limit: usize,
}

/// Sums over all queries.
#[derive(Copy, Clone, Default)]
struct Sums {
    hits: usize,
    wanted: usize,
    visited: u64,
    distances: u64,
}

impl Bench<'_> {
    fn settings(&self, ef: &str) -> Result<SearchSettings, Failure> {
        let limit = u32::try_from(self.limit)?;
        if ef == "default" {
            return Ok(SearchSettings::adaptive(limit));
        }
        Ok(SearchSettings::with_ef(limit, ef.parse()?))
    }

    /// Asks every query; prints one line.
    fn line<F: Accept>(
        &self,
        name: &str,
        settings: SearchSettings,
        accept: impl Fn(usize) -> F,
        truth: &[Vec<Row>],
    ) {
        let accepts: Vec<F> = (0..self.asked.len()).map(accept).collect();
        let mut scratch = Scratch::new();
        let mut fastest = f64::INFINITY;
        let mut sums = Sums::default();
        for _ in 0..3 {
            let (pass, took) = timed(|| self.pass(settings, &accepts, truth, &mut scratch));
            fastest = fastest.min(took.as_secs_f64());
            sums = pass;
        }
        let asked = self.asked.len() as f64;
        println!(
            "{name:>8} {:>7.4} {:>8.0} {:>8.0} {:>8.0}",
            sums.hits as f64 / sums.wanted.max(1) as f64,
            asked / fastest,
            sums.visited as f64 / asked,
            sums.distances as f64 / asked,
        );
    }

    fn pass<F: Accept>(
        &self,
        settings: SearchSettings,
        accepts: &[F],
        truth: &[Vec<Row>],
        scratch: &mut Scratch,
    ) -> Sums {
        let mut sums = Sums::default();
        for ((query, accept), truth) in self.asked.iter().zip(accepts).zip(truth) {
            let found = search(&self.graph, query, accept, settings, scratch);
            sums.visited += found.visited;
            sums.distances += found.distances;
            sums.wanted += truth.len();
            let hit = |row: &&Row| found.neighbors.iter().any(|neighbor| neighbor.row == **row);
            sums.hits += truth.iter().filter(hit).count();
        }
        sums
    }

    fn beams(&self) -> Result<(), Failure> {
        println!(
            "{:>8} {:>7} {:>8} {:>8} {:>8}",
            "ef", "recall", "QPS", "visited", "scored"
        );
        let truth = self.asked.iter().map(|query| {
            let mut top = TopK::new(self.limit);
            scan_all(query, self.vectors.len(), &mut top);
            rows_of(top)
        });
        let truth: Vec<Vec<Row>> = truth.collect();
        let beams = argument("--ef");
        for ef in beams
            .as_deref()
            .unwrap_or("32,64,96,128,192,256,384,512,default")
            .split(',')
        {
            self.line(ef, self.settings(ef)?, |_| AcceptAll, &truth);
        }
        Ok(())
    }

    fn filters(&self) -> Result<(), Failure> {
        let Some(filters) = argument("--filters") else {
            return Ok(());
        };
        let ef = argument("--filter-ef").unwrap_or_else(|| "default".to_owned());
        let clusters = Clusters::new(self.vectors);
        println!(
            "{:>8} {:>7} {:>8} {:>8} {:>8}",
            "filter", "recall", "QPS", "visited", "scored"
        );
        for filter in filters.split(',') {
            let (far, percent) = match filter.strip_prefix("far") {
                Some(percent) => (true, percent),
                None => (false, filter),
            };
            let share = percent.parse::<f64>()? / 100.0;
            let sets: Vec<RowSet> = self
                .asked
                .iter()
                .map(|query| {
                    if far {
                        clusters.far(query, share)
                    } else {
                        at_random(self.vectors.len(), share)
                    }
                })
                .collect();
            let exact = |(query, set): (&ToQuery<'_>, &RowSet)| {
                let mut top = TopK::new(self.limit);
                scan_set(query, set, &mut top);
                rows_of(top)
            };
            let (truth, took) =
                timed(|| self.asked.iter().zip(&sets).map(exact).collect::<Vec<_>>());
            self.line(filter, self.settings(&ef)?, |at| sets[at].clone(), &truth);
            let scored: u64 = sets.iter().map(|set| u64::from(set.count())).sum();
            let asked = self.asked.len() as f64;
            let rate = asked / took.as_secs_f64();
            println!(
                "{:>8} {:>7} {rate:>8.0} {:>8} {:>8.0}",
                "scan",
                1,
                0,
                scored as f64 / asked
            );
        }
        Ok(())
    }
}

fn rows_of(top: TopK) -> Vec<Row> {
    top.into_sorted()
        .iter()
        .map(|neighbor| neighbor.row)
        .collect()
}

/// The same share of rows for every query, drawn by a multiplicative hash.
fn at_random(rows: u32, share: f64) -> RowSet {
    let drawn = |row: &Row| {
        let hash = (row + 1)
            .wrapping_mul(0x9e37_79b1)
            .rotate_left(15)
            .wrapping_mul(0x85eb_ca77);
        f64::from(hash) < share * f64::from(u32::MAX)
    };
    RowSet::from_rows(rows, (0..rows).filter(drawn))
}

/// Rows by the nearest of some of them.
struct Clusters {
    centres: Vec<Row>,
    members: Vec<Vec<Row>>,
    rows: u32,
}

impl Clusters {
    fn new(vectors: &Vectors) -> Self {
        let count = CLUSTERS.min(vectors.len());
        let centres: Vec<Row> = (0..count).map(|at| at * (vectors.len() / count)).collect();
        let mut members = vec![Vec::new(); centres.len()];
        for row in 0..vectors.len() {
            let away = |centre: &Row| vectors.distance(&row, *centre);
            let nearest =
                (0..centres.len()).min_by(|a, b| away(&centres[*a]).total_cmp(&away(&centres[*b])));
            if let Some(nearest) = nearest {
                members[nearest].push(row);
            }
        }
        Self {
            centres,
            members,
            rows: vectors.len(),
        }
    }

    /// The rows of the clusters farthest from `query`, until they are `share` of all.
    fn far(&self, query: &ToQuery<'_>, share: f64) -> RowSet {
        let mut top = TopK::new(self.centres.len());
        scan(query, self.centres.iter().copied(), &mut top);
        let mut set = RowSet::new(self.rows);
        let mut taken = 0;
        for centre in rows_of(top).into_iter().rev() {
            if f64::from(taken) >= share * f64::from(self.rows) {
                break;
            }
            let cluster = self.centres.iter().position(|other| *other == centre);
            for row in cluster
                .into_iter()
                .flat_map(|cluster| &self.members[cluster])
            {
                taken += u32::from(set.insert(*row));
            }
        }
        set
    }
}
