//! Search among the points of one tenant, with rows as they came and with rows in the order of
//! their tenants.
//!
//! `cargo run --release -p benches --bin tenants -- --data DIR [--rows N] [--tenants 100]
//! [--rounds 5] [--graph]`
//!
//! Two collections of the same rows, in process: each row has one of so many tenants, drawn at
//! random, in a keyword field that has an index; the index of the second has `is_tenant`. All is
//! merged into one segment, with codes as the engine comes, with `--graph` with a graph too. Each
//! query asks for the 10 nearest of one tenant, on one thread; collections take turns, round by
//! round, and the medians of the rounds are printed with their ratio.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::path::Path;
use std::sync::Arc;

use benches::collection::{fill, nearest, open, with_graphs};
use benches::dataset::Dataset;
use benches::usage::{cpu_seconds, running_cpu_seconds};
use benches::{Failure, argument, flag, timed};
use engine::{Collection, Db, Settings, Snapshot, SystemClock};
use format_spec::{FieldIndex, FieldType, Metric, Schema, Value, VectorSchema};
use query::{
    Condition, Env, Explain, FieldPath, FieldTest, Filter, MatchValue, PayloadSelector,
    QueryRequest, SearchParams,
};

const K: usize = 10;
/// Where a row's tenant is.
const FIELD: &str = "tenant";
const SEED: u64 = 20_261_123;

fn main() -> Result<(), Failure> {
    let data = Dataset::read(Path::new(
        &argument("--data").ok_or("--data DIR is missing")?,
    ))?;
    let rows = number("--rows", data.base.rows)?.min(data.base.rows);
    let (tenants, rounds) = (number("--tenants", 100)?, number("--rounds", 5)?);
    let mut drawn = drawn(tenants);
    let of_row: Vec<usize> = drawn.by_ref().take(rows).collect();
    let asked: Vec<usize> = drawn.take(data.queries.rows).collect();
    let directory = tempfile::tempdir()?;
    let db = open(directory.path(), adjust)?;
    let mut sides = Vec::new();
    for (name, is_tenant) in [("as_they_came", false), ("by_tenant", true)] {
        let cpu = cpu_seconds();
        let collection = make(&db, &data, (name, is_tenant), &of_row)?;
        while db.step() {}
        sides.push(Side {
            name,
            snapshot: collection.snapshot(),
            made_cpu_s: cpu_seconds() - cpu,
        });
    }
    let bench = Bench {
        pool: rayon::ThreadPoolBuilder::new().num_threads(1).build()?,
        clock: SystemClock::new(),
        data,
        asked,
    };
    println!("{rows} rows, {tenants} tenants, {rounds} rounds, seed {SEED}");
    for side in &sides {
        bench.describe(side)?;
    }
    for with_payload in [false, true] {
        bench.compare(&sides, rounds, with_payload)?;
    }
    Ok(())
}

/// Numbers below `most`, drawn at random (splitmix64, Steele and others, OOPSLA 2014).
fn drawn(most: usize) -> impl Iterator<Item = usize> {
    let mut state = SEED;
    std::iter::from_fn(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let most = most.max(1) as u64;
        Some(((mixed ^ mixed >> 31) % most) as usize)
    })
}

fn number(name: &str, otherwise: usize) -> Result<usize, Failure> {
    argument(name).map_or(Ok(otherwise), |text| Ok(text.parse()?))
}

/// One of the two collections.
struct Side {
    name: &'static str,
    snapshot: Snapshot,
    made_cpu_s: f64,
}

struct Bench {
    pool: rayon::ThreadPool,
    clock: SystemClock,
    data: Dataset,
    /// The tenant of each query.
    asked: Vec<usize>,
}

impl Bench {
    fn env(&self) -> Env<'_> {
        Env {
            pool: &self.pool,
            clock: &self.clock,
            deadline: None,
            later: None,
        }
    }

    fn requests(&self, exact: bool, with_payload: bool) -> Result<Vec<QueryRequest>, Failure> {
        let request = |(at, tenant): (usize, &usize)| {
            let params = SearchParams {
                exact,
                ..SearchParams::default()
            };
            Ok(QueryRequest {
                filter: Some(of_tenant(*tenant)?),
                with_payload: PayloadSelector::All(with_payload),
                ..nearest(self.data.queries.row(at), K, params)
            })
        };
        self.asked.iter().enumerate().map(request).collect()
    }

    /// What making it took, how it is searched, and the recall of that.
    fn describe(&self, side: &Side) -> Result<(), Failure> {
        let (mut paths, mut blocks, mut costs) = (std::collections::BTreeMap::new(), 0, 0.0);
        let requests = self.requests(false, false)?;
        let options = Explain {
            analyze: true,
            path: None,
        };
        for request in &requests {
            let told = query::explain(&side.snapshot, request, &self.env(), options)?;
            for source in &told.sources {
                let choice = source.choice.as_ref();
                let path = choice.map_or("-", |choice| choice.path.name());
                *paths.entry(path).or_insert(0) += 1;
                costs += choice.map_or(0.0, |choice| choice.cost_ns / 1e3);
                blocks += source.blocks;
            }
        }
        let (mut found, mut wanted) = (0, 0);
        for (request, exact) in requests.iter().zip(self.requests(true, false)?) {
            let truth = query::search(&side.snapshot, &exact, &self.env())?;
            let hits = query::search(&side.snapshot, request, &self.env())?;
            let is_true = |hit: &&query::Hit| truth.iter().any(|t| t.record.id == hit.record.id);
            found += hits.iter().filter(is_true).count();
            wanted += truth.len();
        }
        let count = requests.len() as f64;
        println!(
            "{:>12}: {} sources, {:.1} s of processor to make; paths {paths:?}, {:.0} blocks and \
             {:.1} us expected of a query; recall@{K} {:.4}",
            side.name,
            side.snapshot.sources().len(),
            side.made_cpu_s,
            f64::from(blocks) / count,
            costs / count,
            found as f64 / f64::from(u32::try_from(wanted)?).max(1.0),
        );
        Ok(())
    }

    fn compare(&self, sides: &[Side], rounds: usize, payload: bool) -> Result<(), Failure> {
        let requests = self.requests(false, payload)?;
        let count = requests.len() as f64;
        let mut per_query: Vec<[Vec<f64>; 2]> = sides.iter().map(|_| Default::default()).collect();
        // The first round of each warms up.
        for round in 0..=rounds {
            for (side, [elapsed, processor]) in sides.iter().zip(&mut per_query) {
                let cpu = running_cpu_seconds();
                let (done, time) = timed(|| -> Result<(), Failure> {
                    for request in &requests {
                        query::search(&side.snapshot, request, &self.env())?;
                    }
                    Ok(())
                });
                done?;
                if round > 0 {
                    elapsed.push(time.as_secs_f64() * 1e6 / count);
                    processor.push((running_cpu_seconds() - cpu) * 1e6 / count);
                }
            }
        }
        let with = if payload { "with" } else { "without" };
        for (at, what) in ["elapsed", "of processor"].into_iter().enumerate() {
            let us: Vec<f64> = per_query
                .iter_mut()
                .map(|times| median(&mut times[at]))
                .collect();
            println!(
                "{with} payload: {:.1} us {what} a query as they came, {:.1} by tenant; {:.0} and \
                 {:.0} queries a second, {:.2} times",
                us[0],
                us[1],
                1e6 / us[0],
                1e6 / us[1],
                us[0] / us[1],
            );
        }
        Ok(())
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn name_of(tenant: usize) -> String {
    format!("tenant-{tenant:05}")
}

fn of_tenant(tenant: usize) -> Result<Filter, Failure> {
    let path = FieldPath::parse(FIELD)?;
    let test = FieldTest::Match(MatchValue::Keyword(name_of(tenant)));
    Ok(Filter {
        must: vec![Condition::Field { path, test }],
        ..Filter::default()
    })
}

fn adjust(settings: &mut Settings) {
    if flag("--graph") {
        with_graphs(settings);
    }
}

fn make(
    db: &Db,
    data: &Dataset,
    (name, is_tenant): (&str, bool),
    of_row: &[usize],
) -> Result<Arc<Collection>, Failure> {
    let vector = VectorSchema::unnamed(u32::try_from(data.base.columns)?, Metric::Cosine);
    let settings = Value::Object(vec![("is_tenant".to_owned(), Value::Bool(is_tenant))]);
    let field = FieldIndex {
        path: FIELD.to_owned(),
        field_type: FieldType::Keyword,
        settings: settings.to_bytes(),
    };
    let mut schema = Schema {
        vectors: vec![vector],
        fields: vec![field],
        ..Schema::default()
    };
    schema.compaction.segment_count_target = 1;
    let collection = db.create_collection(name, schema)?;
    let payload = |at: usize| {
        let title = data.payloads[at].to_string();
        Value::Object(vec![
            (FIELD.to_owned(), Value::Text(name_of(of_row[at]))),
            ("about".to_owned(), Value::Text(title)),
        ])
        .to_bytes()
    };
    fill(db, &collection, data, of_row.len(), payload)?;
    Ok(collection)
}
