//! Search with the vectors on disk, in process, on one thread: queries a second, what was read for
//! each, recall.
//!
//! `cargo run --release -p benches --bin cold -- --data DIR --at DIRECTORY [--coded]`
//!
//! The collection in `--at` is one that `search --data DIR --at DIRECTORY` made; with `--coded` its
//! graphs, if it has any, get codes in their nodes. Vectors are read through io_uring and by
//! `pread`, with the page cache as the queries leave it and with the vectors dropped from it before
//! each query, which is not timed; and, to compare, through the map.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use benches::collection::nearest;
use benches::dataset::Dataset;
use benches::{Failure, argument, flag, timed};
use engine::storage::{Advice, File};
use engine::{
    Db, DiskStorage, IoUring, Placement, Residency, Settings, Snapshot, Storage, SystemClock,
    VectorPlacement,
};
use format_spec::PointId;
use query::{Env, SearchParams};

const NAME: &str = "search";
const K: usize = 10;

fn main() -> Result<(), Failure> {
    let dir = argument("--data").ok_or("--data DIR is missing")?;
    let at = argument("--at").ok_or("--at DIRECTORY is missing")?;
    let (data, at) = (Dataset::read(Path::new(&dir))?, Path::new(&at));
    println!("| vectors | page cache | recall@{K} | queries a second | reads | KiB |");
    println!("|---|---|--:|--:|--:|--:|");
    for (residency, io_uring) in [
        (Residency::Cold, IoUring::Auto),
        (Residency::Cold, IoUring::Off),
        (Residency::Cached, IoUring::Auto),
    ] {
        measure(&data, at, residency, io_uring)?;
    }
    Ok(())
}

/// One line for each state of the page cache.
fn measure(
    data: &Dataset,
    at: &Path,
    residency: Residency,
    io_uring: IoUring,
) -> Result<(), Failure> {
    let storage = Arc::new(DiskStorage::with(at, io_uring)?);
    let files = vectors(&*storage)?;
    let settings = Settings {
        workers: 0,
        ..Settings::default()
    };
    let db = Db::open(storage, Arc::new(SystemClock::new()), settings)?;
    let collection = db.collection(NAME).ok_or("no such collection")?;
    let placement = VectorPlacement {
        originals: residency,
        ..VectorPlacement::default()
    };
    collection.place(Placement {
        vectors: [(String::new(), placement)].into(),
        ..Placement::default()
    });
    while flag("--coded") && db.step() {}
    let snapshot = collection.snapshot();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    // The first pass verifies the checksums of every block it touches.
    ask_all(data, &snapshot, &pool, &|| {})?;
    let is_cold = residency == Residency::Cold;
    for dropped in [false, true]
        .into_iter()
        .filter(|&dropped| is_cold || !dropped)
    {
        let before = db.batched_reads();
        let (recall, rate) = ask_all(data, &snapshot, &pool, &|| {
            let drop_all = |file: &Arc<dyn File>| file.advise(Advice::Drop, 0..i64::MAX as u64);
            files.iter().filter(|_| dropped).for_each(drop_all);
        })?;
        let after = db.batched_reads();
        let queries = data.queries.rows as f64;
        let reads = (after.reads - before.reads) as f64 / queries;
        let kib = (after.bytes - before.bytes) as f64 / 1024.0 / queries;
        let method = if is_cold {
            after.method
        } else {
            "mapped".to_owned()
        };
        let cache = if dropped { "dropped" } else { "warm" };
        println!("| {method} | {cache} | {recall:.4} | {rate:.0} | {reads:.1} | {kib:.1} |");
    }
    Ok(())
}

/// Recall and queries a second; `before` runs before each query and is not timed.
fn ask_all(
    data: &Dataset,
    snapshot: &Snapshot,
    pool: &rayon::ThreadPool,
    before: &dyn Fn(),
) -> Result<(f64, f64), Failure> {
    let clock = SystemClock::new();
    let env = Env {
        pool,
        clock: &clock,
        deadline: None,
        later: None,
    };
    let (mut elapsed, mut answers) = (Duration::ZERO, Vec::new());
    for at in 0..data.queries.rows {
        let request = nearest(data.queries.row(at), K, SearchParams::default());
        before();
        let (hits, took) = timed(|| query::search(snapshot, &request, &env));
        elapsed += took;
        let number = |hit: &query::Hit| match hit.record.id {
            PointId::Number(id) => Some(id),
            PointId::Uuid(_) => None,
        };
        answers.push(hits?.iter().filter_map(number).collect());
    }
    let rate = answers.len() as f64 / elapsed.as_secs_f64();
    Ok((data.recall(&answers, data.base.rows, K), rate))
}

/// The files of the vectors.
fn vectors(storage: &dyn Storage) -> Result<Vec<Arc<dyn File>>, Failure> {
    let (mut dirs, mut files) = (vec![String::new()], Vec::new());
    while let Some(dir) = dirs.pop() {
        for entry in storage.list(&dir)? {
            let path = format!("{dir}/{}", entry.name);
            let path = path.trim_start_matches('/').to_owned();
            if entry.is_dir {
                dirs.push(path);
            } else if path.ends_with(".vectors") {
                files.push(storage.open(&path)?);
            }
        }
    }
    Ok(files)
}
