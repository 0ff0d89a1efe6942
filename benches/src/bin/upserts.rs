//! Upserts of new and of existing ids into many rows in many segments, and the id look-up.
//!
//! `cargo run --release -p benches --bin upserts [-- --rows 1000000 --segments 32]`
//!
//! In process, on a temporary directory, durable: what is compared is one run of one machine.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::time::Duration;

use benches::collection::open;
use benches::{Failure, argument, timed};
use engine::{Collection, Settings, StepKind, UpsertRows, WriteBatch};
use format_spec::{Metric, PointId, Schema, VectorSchema};

const DIM: usize = 32;
const BATCH: u64 = 1_000;
const UPSERTS: u64 = 20_000;
const LOOKUPS: u64 = 1_000_000;

fn main() -> Result<(), Failure> {
    let number =
        |name: &str, default: u64| argument(name).map_or(Ok(default), |text| text.parse::<u64>());
    let rows = number("--rows", 1_000_000)?;
    let segments = number("--segments", 32)?.max(1);
    let temporary = tempfile::tempdir()?;
    let db = open(temporary.path(), adjust)?;
    let collection = db.create_collection("upserts", schema())?;
    let each = rows.div_ceil(segments);
    for segment in 0..segments {
        // Every segment holds ids from the whole range, so that no order helps the look-up.
        let ids: Vec<u64> = (0..each).map(|at| at * segments + segment).collect();
        for ids in ids.chunks(BATCH as usize) {
            upsert(&collection, ids)?;
        }
        collection.run_now();
        db.step_of(StepKind::Flush);
    }
    let snapshot = collection.snapshot();
    println!("| figure | value |\n|---|--:|");
    println!(
        "| rows, segments | {}, {} |",
        snapshot.live_count(),
        snapshot.sources().len()
    );
    let total = each * segments;
    // A fixed odd step visits ids in an order that no cache foresees.
    let scattered = |at: u64| at.wrapping_mul(0x9E37_79B9_7F4A_7C15) % total;
    let found = look_up(&collection, (0..LOOKUPS).map(scattered))?;
    println!(
        "| look-up of a present id | {} ns |",
        found.as_nanos() / u128::from(LOOKUPS)
    );
    let absent = look_up(&collection, (0..LOOKUPS).map(|at| total + scattered(at)))?;
    println!(
        "| look-up of an absent id | {} ns |",
        absent.as_nanos() / u128::from(LOOKUPS)
    );
    let mut rates = Vec::new();
    for (name, first) in [("new", total), ("existing", 0)] {
        let ids: Vec<u64> = (0..UPSERTS)
            .map(|at| {
                if first == 0 {
                    scattered(at)
                } else {
                    first + at
                }
            })
            .collect();
        let (outcome, elapsed) = timed(|| {
            ids.chunks(BATCH as usize)
                .try_for_each(|ids| upsert(&collection, ids))
        });
        outcome?;
        let rate = UPSERTS as f64 / elapsed.as_secs_f64();
        println!("| upserts of {name} ids, durable, batches of {BATCH} | {rate:.0} points/s |");
        rates.push(rate);
    }
    println!("| existing / new | {:.2} |", rates[1] / rates[0]);
    Ok(())
}

fn adjust(settings: &mut Settings) {
    settings.memtable_bytes_max = 1 << 30;
    settings.sealed_memtables_max = 64;
    settings.soft_free_bytes = 0;
}

fn schema() -> Schema {
    let vector = VectorSchema::unnamed(DIM as u32, Metric::Dot);
    let mut schema = Schema {
        vectors: vec![vector],
        ..Schema::default()
    };
    schema.compaction.indexing_threshold_kb = 0;
    schema.compaction.memtable_bytes_max = 1 << 30;
    schema
}

fn upsert(collection: &Collection, ids: &[u64]) -> Result<(), Failure> {
    let mut rows = UpsertRows::new(&collection.schema());
    for &id in ids {
        rows.begin(PointId::Number(id));
        rows.vector(0, &[(id % 97) as f32 + 1.0; DIM])?;
    }
    let mut batch = WriteBatch::new();
    batch.upsert(rows);
    collection.write(batch)?;
    Ok(())
}

fn look_up(collection: &Collection, ids: impl Iterator<Item = u64>) -> Result<Duration, Failure> {
    let snapshot = collection.snapshot();
    let (found, elapsed) = timed(|| {
        let found = ids.map(|id| snapshot.find(PointId::Number(id)));
        found.filter(|found| matches!(found, Ok(Some(_)))).count()
    });
    std::hint::black_box(found);
    Ok(elapsed)
}
