//! Codecs in process, on one thread: what each one's codes take, and the recall and queries a
//! second with vectors compared again and without.
//!
//! `cargo run --release -p benches --bin codecs -- --data DIR [--rows N]`
//!
//! Segments without graphs; their codes are made anew for each codec.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::path::Path;
use std::sync::Arc;

use benches::collection::{NAME, make, nearest};
use benches::dataset::Dataset;
use benches::usage::cpu_seconds;
use benches::{Failure, argument, timed};
use engine::{Db, DiskStorage, Settings, SystemClock};
use format_spec::{Codec, PointId, Schema};
use query::{CodeUse, Env, QueryRequest, SearchParams};

const K: usize = 10;

fn main() -> Result<(), Failure> {
    let dir = argument("--data").ok_or("--data DIR is missing")?;
    let data = Dataset::read(Path::new(&dir))?;
    let rows = argument("--rows").map_or(Ok(data.base.rows), |rows| rows.parse())?;
    let rows = rows.min(data.base.rows);
    let temporary = tempfile::tempdir()?;
    let settings = Settings {
        workers: 0,
        graph_rows_min: u64::MAX,
        ..Settings::default()
    };
    let storage = Arc::new(DiskStorage::new(temporary.path())?);
    let db = Db::open(storage, Arc::new(SystemClock::new()), settings)?;
    let collection = make(&db, &data, rows)?;
    println!("| codec | CPU s | bytes a vector | recall | queries/s | not rescored | queries/s |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for &codec in Codec::ALL {
        let cpu = cpu_seconds();
        let mut change = |before: &Schema| {
            let mut after = before.clone();
            after.vectors[0].codec = codec;
            after.vectors[0].hnsw.m = 0;
            Ok(after)
        };
        db.alter_collection(NAME, &mut change)?;
        collection.run_now();
        while db.step() {}
        let cpu = cpu_seconds() - cpu;
        let codes = bytes_of_codes(temporary.path())?;
        let [rescored, alone] = [true, false].map(|rescore| -> Result<_, Failure> {
            measure(&collection, &data, rows, rescore)?;
            measure(&collection, &data, rows, rescore)
        });
        let ((recall, rate), (alone, alone_rate)) = (rescored?, alone?);
        println!(
            "| {codec:?} | {cpu:.2} | {:.0} | {recall:.4} | {rate:.0} | {alone:.4} | {alone_rate:.0} |",
            codes as f64 / rows as f64,
        );
    }
    Ok(())
}

/// Recall and queries a second, each query a call of its own.
fn measure(
    collection: &engine::Collection,
    data: &Dataset,
    rows: usize,
    rescore: bool,
) -> Result<(f64, f64), Failure> {
    let snapshot = collection.snapshot();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let clock = SystemClock::new();
    let env = Env {
        pool: &pool,
        clock: &clock,
        deadline: None,
        later: None,
    };
    let requests = (0..data.queries.rows).map(|at| {
        let codes = CodeUse {
            rescore,
            ..CodeUse::default()
        };
        let params = SearchParams {
            codes,
            ..SearchParams::default()
        };
        nearest(data.queries.row(at), K, params)
    });
    let requests: Vec<QueryRequest> = requests.collect();
    let (answers, took) = timed(|| {
        let ask = |request| query::search(&snapshot, request, &env);
        requests.iter().map(ask).collect::<Result<Vec<_>, _>>()
    });
    let number = |hit: &query::Hit| match hit.record.id {
        PointId::Number(id) => Some(id),
        PointId::Uuid(_) => None,
    };
    let ids = answers?;
    let ids = ids
        .iter()
        .map(|hits| hits.iter().filter_map(number).collect());
    let ids: Vec<Vec<u64>> = ids.collect();
    let recall = data.recall(&ids, rows, K);
    Ok((recall, requests.len() as f64 / took.as_secs_f64()))
}

/// Bytes of all parts of codes; those that were replaced are gone, as nobody reads them.
fn bytes_of_codes(at: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    let mut folders = vec![at.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (path, meta) = (entry.path(), entry.metadata()?);
            if meta.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|e| e == "codes" || e == "product")
            {
                bytes += meta.len();
            }
        }
    }
    Ok(bytes)
}
