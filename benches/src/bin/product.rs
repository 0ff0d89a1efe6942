//! Product codes by themselves, on one thread: what they cost and what they find.
//!
//! `cargo run --release -p benches --bin product -- --data DIR [--sample N]`
//!
//! For each compression a codebook is learned from `--sample` vectors of the data set, all its
//! vectors are encoded, and its queries are compared with all codes. Recall is of the ten nearest:
//! of the codes alone, and when the 20, 50 and 100 nearest by codes are compared
//! exactly. A query and its comparisons are timed by the quickest of all.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::path::Path;
use std::time::Duration;

use benches::dataset::Dataset;
use benches::{Failure, argument, timed};
use quant::{Compression, Metric, ProductQuery, ProductShape, ProductTraining, TRAINING_ROWS};

/// Neighbours that are looked for.
const K: usize = 10;
/// Candidates that are compared exactly; as many as are looked for are the codes alone.
const RESCORED: [usize; 4] = [10, 20, 50, 100];

fn main() -> Result<(), Failure> {
    let dir = argument("--data").ok_or("--data DIR is missing")?;
    let data = Dataset::read(Path::new(&dir))?;
    let sample = argument("--sample").map_or(Ok(TRAINING_ROWS), |rows| rows.parse())?;
    println!(
        "| compression | learning s | encoding us a row | query us | ns a row | recall@10 by codes | of 20 | of 50 | of 100 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for compression in Compression::ALL {
        measure(&data, compression, sample);
    }
    Ok(())
}

fn measure(data: &Dataset, compression: Compression, sample: usize) {
    let shape = ProductShape::of(data.base.columns, compression);
    let step = data.base.rows.div_ceil(sample);
    let rows = (0..data.base.rows).step_by(step);
    let sample: Vec<f32> = rows.flat_map(|row| data.base.row(row)).copied().collect();
    let training = ProductTraining::new(shape, &sample, 1);
    let (codebook, learning) = timed(|| training.train());
    let (codes, encoding) = timed(|| {
        let mut codes = Vec::with_capacity(data.base.rows * shape.row_len());
        (0..data.base.rows).for_each(|row| codebook.encode(data.base.row(row), &mut codes));
        codes
    });
    let (mut preparing, mut comparing) = (Duration::MAX, Duration::MAX);
    let mut found = [0; RESCORED.len()];
    let mut distances = vec![0.0; data.base.rows];
    for number in 0..data.queries.rows {
        let (query, took) =
            timed(|| ProductQuery::new(&codebook, Metric::Dot, data.queries.row(number)));
        preparing = preparing.min(took);
        let ((), took) = timed(|| query.distances(&codes, &mut distances));
        comparing = comparing.min(took);
        let mut order: Vec<u32> = (0..data.base.rows as u32).collect();
        let by_distance =
            |a: &u32, b: &u32| distances[*a as usize].total_cmp(&distances[*b as usize]);
        order.select_nth_unstable_by(RESCORED[RESCORED.len() - 1], by_distance);
        order.truncate(RESCORED[RESCORED.len() - 1]);
        order.sort_by(by_distance);
        let truth = &data.truth.row(number)[..K];
        for (found, rescored) in found.iter_mut().zip(RESCORED) {
            // An exact comparison keeps the true neighbours that are among the candidates.
            *found += order[..rescored]
                .iter()
                .filter(|row| truth.contains(row))
                .count();
        }
    }
    let queries = data.queries.rows as f64;
    let recall = found.map(|found| found as f64 / (K as f64 * queries));
    println!(
        "| x{} | {:.2} | {:.2} | {:.1} | {:.1} | {:.4} | {:.4} | {:.4} | {:.4} |",
        compression.factor(),
        learning.as_secs_f64(),
        encoding.as_secs_f64() * 1e6 / data.base.rows as f64,
        preparing.as_secs_f64() * 1e6,
        comparing.as_secs_f64() * 1e9 / data.base.rows as f64,
        recall[0],
        recall[1],
        recall[2],
        recall[3],
    );
}
