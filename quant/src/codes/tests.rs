//! Codes against the arithmetic they stand for: estimates have no bias and the error they say, all
//! instruction sets give the same bytes and bits, and odd vectors do no harm.

use proptest::prelude::*;

use super::*;
use crate::Isa;
use crate::kernel::Codes;

/// Normally distributed coordinates (Box and Muller), from a seed.
fn gaussian(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        ((state >> 33) as f64 + 0.5) / f64::from(1_u32 << 31)
    };
    let mut draw = || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
    (0..count).map(|_| draw() as f32).collect()
}

/// Vectors around a few centres and off the origin, as embeddings are.
fn clustered(count: usize, dim: usize, seed: u64) -> Vec<Vec<f32>> {
    let centres = gaussian(8 * dim, seed);
    let offset = gaussian(dim, seed ^ 7);
    (0..count)
        .map(|n| {
            let noise = gaussian(dim, seed.wrapping_mul(31).wrapping_add(n as u64));
            let centre = &centres[n % 8 * dim..][..dim];
            let vector: Vec<f32> = (0..dim)
                .map(|at| 0.7 * noise[at] + 0.4 * centre[at] + 0.5 * offset[at])
                .collect();
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            vector.iter().map(|x| x / norm).collect()
        })
        .collect()
}

fn exact(metric: CodeMetric, a: &[f32], b: &[f32]) -> f64 {
    let terms = a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    match metric {
        CodeMetric::Dot => -terms.map(|(a, b)| a * b).sum::<f64>(),
        CodeMetric::Euclid => terms.map(|(a, b)| (a - b) * (a - b)).sum(),
    }
}

struct Encoded {
    space: CodeSpace,
    blocks: Vec<u8>,
    rows: Vec<u8>,
}

/// Rotations over which errors are measured.
const ROTATIONS: u64 = 12;

fn encoded(vectors: &[Vec<f32>], metric: CodeMetric, bits: CodeBits, isa: Option<Isa>) -> Encoded {
    rotated_and_encoded(vectors, (metric, bits), 42, isa)
}

fn rotated_and_encoded(
    vectors: &[Vec<f32>],
    (metric, bits): (CodeMetric, CodeBits),
    seed: u64,
    isa: Option<Isa>,
) -> Encoded {
    let rotation = Rotation::new(vectors[0].len(), seed);
    let space = CodeSpace::of_sample(rotation, vectors.iter().map(|v| &v[..]));
    let (mut blocks, mut rows) = (Vec::new(), Vec::new());
    let mut encoder = Encoder::on(&space, metric, bits, Codes::new(isa));
    let mut block = BlockBuilder::new(space.padded());
    for vector in vectors {
        encoder.encode(vector, &mut block, &mut rows);
        if block.is_full() {
            block.finish(&mut blocks);
        }
    }
    if !block.is_empty() {
        block.finish(&mut blocks);
    }
    Encoded {
        space,
        blocks,
        rows,
    }
}

/// Errors over the deviations they should have, of one bit and of several.
#[derive(Default)]
struct Errors {
    one: Vec<f64>,
    several: Vec<f64>,
}

impl Errors {
    /// Adds those of `stored` under one rotation, for each of `queries`.
    fn add(
        &mut self,
        (stored, queries): (&[Vec<f32>], &[Vec<f32>]),
        (metric, bits): (CodeMetric, CodeBits),
        seed: u64,
    ) {
        let code = rotated_and_encoded(stored, (metric, bits), seed, None);
        for vector in queries {
            let rotated = RotatedQuery::new(code.space.rotation(), vector);
            let query = CodeQuery::new(&code.space, metric, bits, &rotated, 1.0);
            let mut out = BlockEstimates::default();
            let blocks = code.blocks.chunks_exact(query.block_len());
            for (block, vectors) in blocks.zip(stored.chunks(BLOCK_ROWS)) {
                query.block(block, f32::INFINITY, &mut out);
                for (at, stored) in vectors.iter().enumerate() {
                    let error = f64::from(out.distances[at]) - exact(metric, vector, stored);
                    let sigma = f64::from(out.distances[at] - out.lower[at]);
                    self.one.push(error / sigma);
                }
            }
            if query.row_len() == 0 {
                continue;
            }
            for (row, stored) in code.rows.chunks_exact(query.row_len()).zip(stored) {
                let estimate = query.row(row);
                let error = f64::from(estimate.distance) - exact(metric, vector, stored);
                self.several.push(error / f64::from(estimate.deviation));
            }
        }
    }

    /// Fails unless they have no bias and the deviation they should have.
    fn check(&self, what: &str) {
        for (name, errors) in [("one bit", &self.one), ("several bits", &self.several)] {
            if errors.is_empty() {
                continue;
            }
            let count = errors.len() as f64;
            let mean = errors.iter().sum::<f64>() / count;
            let square = errors.iter().map(|error| error * error).sum::<f64>() / count;
            let deviation = square.sqrt();
            assert!(mean.abs() < 0.03, "{what}, {name}: bias {mean:.3}");
            let is_right = (0.97..=1.03).contains(&deviation);
            assert!(is_right, "{what}, {name}: deviation {deviation:.3}");
        }
    }
}

#[test]
fn errors_are_what_the_codes_say_they_are() {
    for (dim, bits) in [
        (32, CodeBits::Four),
        (48, CodeBits::Two),
        (64, CodeBits::Eight),
        (100, CodeBits::Eight),
        (200, CodeBits::Two),
        (384, CodeBits::Four),
        (384, CodeBits::Eight),
        (768, CodeBits::Two),
        (768, CodeBits::Four),
        (1000, CodeBits::One),
        (1536, CodeBits::Eight),
        (4096, CodeBits::Four),
    ] {
        for metric in [CodeMetric::Dot, CodeMetric::Euclid] {
            let mut errors = Errors::default();
            for seed in 0..ROTATIONS {
                let stored = clustered(400, dim, seed);
                let queries = clustered(10, dim, seed ^ 0xABCD);
                errors.add((&stored, &queries), (metric, bits), seed);
            }
            errors.check(&format!("{dim} dimensions, {metric:?}, {bits:?}"));
        }
    }
}

/// Embeddings of texts of the sample that the demo has, of unit length.
const SAMPLE: &[u8] = include_bytes!("../../../server/demo/sample.f16");
const SAMPLE_DIM: usize = 384;

/// Vectors of `dim` coordinates, each those of one or of several embeddings of the sample, cut off
/// where there are more.
fn embeddings(dim: usize) -> Vec<Vec<f32>> {
    let row_len = 2 * SAMPLE_DIM;
    let whole = SAMPLE.chunks_exact(row_len * dim.div_ceil(SAMPLE_DIM));
    let decode = |bytes: &[u8]| {
        let mut vector = Vec::new();
        crate::decode_row(format_spec::Element::F16, bytes, &mut vector);
        vector.truncate(dim);
        vector
    };
    whole.map(decode).collect()
}

#[test]
fn errors_of_embeddings_are_what_the_codes_say_they_are() {
    for dim in [32, 48, 100, 256, 384, 768, 1000, 4096] {
        let vectors = embeddings(dim);
        let queries = vectors.len() / 10;
        // As many of each rotation, whatever the dimension.
        let (queries, stored) = vectors.split_at(queries.min(20));
        let stored = &stored[..stored.len().min(200)];
        for bits in [
            CodeBits::One,
            CodeBits::Two,
            CodeBits::Four,
            CodeBits::Eight,
        ] {
            for metric in [CodeMetric::Dot, CodeMetric::Euclid] {
                let mut errors = Errors::default();
                for seed in 0..ROTATIONS {
                    errors.add((stored, queries), (metric, bits), seed);
                }
                errors.check(&format!("{dim} dimensions, {metric:?}, {bits:?}"));
            }
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bytes_and_bits() {
    for dim in [3, 64, 200, 1536] {
        let vectors = clustered(70, dim, 5);
        for bits in [CodeBits::Two, CodeBits::Four, CodeBits::Eight] {
            let want = encoded(&vectors, CodeMetric::Dot, bits, Some(Isa::Portable));
            for isa in Isa::available() {
                let got = encoded(&vectors, CodeMetric::Dot, bits, Some(isa));
                assert_eq!(got.blocks, want.blocks, "{isa}, {dim}, {bits:?}");
                assert_eq!(got.rows, want.rows, "{isa}, {dim}, {bits:?}");
                let rotated = RotatedQuery::new(want.space.rotation(), &vectors[3]);
                let on = |isa| {
                    let codes = Codes::new(Some(isa));
                    CodeQuery::on(codes, &want.space, CodeMetric::Dot, bits, &rotated, 1.9)
                };
                let (portable, query) = (on(Isa::Portable), on(isa));
                blocks_agree((&portable, &query), &want.blocks, &format!("{isa}, {dim}"));
                for row in want.rows.chunks_exact(query.row_len()) {
                    assert_eq!(query.row(row), portable.row(row), "{isa}, {dim}, {bits:?}");
                }
            }
        }
    }
}

/// A row of one bit by itself is estimated as in its block, but for what either rounds of the
/// query, and the same on every instruction set.
#[test]
fn rows_of_one_bit_are_estimated_as_in_blocks() {
    for dim in [3, 64, 200, 384, 1536] {
        let vectors = clustered(70, dim, 6);
        for metric in [CodeMetric::Dot, CodeMetric::Euclid] {
            let code = encoded(&vectors, metric, CodeBits::One, None);
            let rotated = RotatedQuery::new(code.space.rotation(), &vectors[3]);
            let on = |isa| {
                let codes = Codes::new(Some(isa));
                CodeQuery::on(codes, &code.space, metric, CodeBits::One, &rotated, 1.0)
            };
            let portable = on(Isa::Portable);
            let block_len = portable.block_len();
            let blocks = code.blocks.chunks_exact(block_len);
            let signs = SignRows::of_blocks(blocks.clone(), code.space.padded());
            let bytes = SignRows::bytes_for(70, code.space.padded());
            assert_eq!(signs.bytes() as u64, bytes);
            let mut of_block = BlockEstimates::default();
            for (at, block) in blocks.enumerate() {
                portable.block(block, 0.0, &mut of_block);
                for lane in 0..BLOCK_ROWS {
                    let row = BLOCK_ROWS * at + lane;
                    let want = of_block.distances[lane];
                    let got = portable.signs(&signs, row);
                    if row >= vectors.len() {
                        assert_eq!((got, want), (f32::INFINITY, f32::INFINITY));
                        continue;
                    }
                    let doubt = want - of_block.lower[lane];
                    assert!((got - want).abs() <= 0.2 * doubt, "{dim}: {got}, {want}");
                    for isa in Isa::available() {
                        let on_isa = on(isa).signs(&signs, row);
                        assert_eq!(on_isa.to_bits(), got.to_bits(), "{isa}, {dim}");
                    }
                }
            }
        }
    }
}

/// Blocks one by one, without bounds, and side by side.
fn blocks_agree((portable, query): (&CodeQuery, &CodeQuery), blocks: &[u8], what: &str) {
    const WORST: f32 = -0.5;
    let (near, mut one) = (query.without_doubt(), BlockEstimates::default());
    let mut run = vec![one.clone(); blocks.len() / query.block_len()];
    query.blocks(blocks, WORST, true, &mut run);
    for (block, of_run) in blocks.chunks_exact(query.block_len()).zip(run) {
        let mut want = one.clone();
        want.below = portable.block(block, WORST, &mut want);
        assert_eq!(query.block(block, WORST, &mut one), want.below, "{what}");
        assert_eq!(one.distances, want.distances, "{what}");
        assert_eq!(one.lower, want.lower, "{what}");
        assert_eq!(of_run.distances, want.distances, "{what}");
        assert_eq!(of_run.lower, want.lower, "{what}");
        assert_eq!(of_run.below, want.below, "{what}");
        let is_near = |row: usize| u32::from(want.distances[row] < WORST) << row;
        let nearer = (0..BLOCK_ROWS).map(is_near).sum::<u32>();
        assert_eq!(near.block(block, WORST, &mut one), nearer, "{what}");
        assert_eq!(one.distances, want.distances, "{what}");
    }
}

#[test]
fn two_rows_are_as_far_as_their_vectors() {
    for metric in [CodeMetric::Dot, CodeMetric::Euclid] {
        for dim in [100, 384] {
            let vectors = clustered(60, dim, 11);
            let code = encoded(&vectors, metric, CodeBits::Four, None);
            let padded = code.space.padded();
            let constant = match metric {
                CodeMetric::Dot => exact(metric, code.space.centre(), code.space.centre()),
                CodeMetric::Euclid => 0.0,
            };
            let pair = CodePair::new(metric, padded);
            let rows: Vec<&[u8]> = code.rows.chunks_exact(pair.row_len()).collect();
            let mut square = 0.0;
            let (mut from, mut back) = (PreparedRow::default(), PreparedRow::default());
            for (a, x) in rows.iter().zip(&vectors) {
                pair.prepare(a, &mut from);
                for (b, y) in rows.iter().zip(&vectors) {
                    let distance = pair.distance(&from, b);
                    pair.prepare(b, &mut back);
                    assert_eq!(pair.distance(&back, a).to_bits(), distance.to_bits());
                    for isa in Isa::available() {
                        let on = CodePair::on(Codes::new(Some(isa)), metric, padded);
                        assert_eq!(on.distance(&from, b), distance, "{isa}");
                    }
                    let error = f64::from(distance) + constant - exact(metric, x, y);
                    square += error * error;
                }
            }
            let error = (square / 3_600.0).sqrt();
            assert!(error < 0.02, "{dim}, {metric:?}: {error}");
        }
    }
}

/// A block's estimates of the distances from a prepared row are those from the row's grid point.
#[test]
fn rows_are_estimated_in_blocks_as_from_their_grid_points() {
    for metric in [CodeMetric::Dot, CodeMetric::Euclid] {
        let vectors = clustered(70, 200, 12);
        let code = encoded(&vectors, metric, CodeBits::Four, None);
        let padded = code.space.padded();
        let pair = CodePair::new(metric, padded);
        let (mut from, mut query) = (PreparedRow::default(), BlockQuery::default());
        let mut estimates = BlockEstimates::default();
        let (mut nearer, mut pairs) = (0, 0);
        for row in code.rows.chunks_exact(pair.row_len()) {
            pair.prepare(row, &mut from);
            pair.prepare_blocks(&from, &mut query);
            let others: Vec<f32> = code
                .rows
                .chunks_exact(pair.row_len())
                .map(|other| pair.distance(&from, other))
                .collect();
            let mut square = 0.0;
            for (at, block) in code.blocks.chunks_exact(query.block_len()).enumerate() {
                let below = query.block(block, 0.3, &mut estimates);
                for (lane, (estimate, other)) in estimates
                    .distances
                    .iter()
                    .zip(&others[32 * at..])
                    .enumerate()
                {
                    assert_eq!(below >> lane & 1 == 1, *estimate < 0.3);
                    square += (estimate - other).powi(2);
                    pairs += 1;
                    nearer += below >> lane & 1;
                }
            }
            // Of unit vectors: sqrt(pi / 2 - 1) / sqrt(256), twice that for squares.
            let most = if metric == CodeMetric::Dot {
                0.047
            } else {
                0.094
            };
            let error = (square / vectors.len() as f32).sqrt();
            assert!(error < 1.25 * most, "{metric:?}: {error}, not {most}");
        }
        assert!(nearer > 0 && nearer < pairs);
    }
}

#[test]
fn a_rotation_keeps_lengths_and_products() {
    for dim in [1, 5, 64, 96, 384, 1000] {
        let rotation = Rotation::new(dim, 9);
        let (a, b) = (gaussian(dim, 1), gaussian(dim, 2));
        let (mut ra, mut rb) = (Vec::new(), Vec::new());
        rotation.rotate(&a, &mut ra);
        rotation.rotate(&b, &mut rb);
        for (x, y, rx, ry) in [(&a, &a, &ra, &ra), (&a, &b, &ra, &rb)] {
            let want = exact(CodeMetric::Dot, x, y);
            let got = exact(CodeMetric::Dot, rx, ry);
            assert!(
                (want - got).abs() < 1e-4 * dim as f64,
                "{dim}: {want} {got}"
            );
        }
    }
}

/// The first coordinates of a rotation that codes on disk were made with.
#[test]
fn a_rotation_never_changes() {
    let mut rotated = Vec::new();
    let vector: Vec<f32> = (0_u8..100).map(f32::from).collect();
    Rotation::new(100, 7).rotate(&vector, &mut rotated);
    let got: Vec<u32> = rotated.iter().take(4).map(|x| x.to_bits()).collect();
    assert_eq!(
        got,
        [1_112_529_920, 1_113_698_304, 1_084_432_402, 1_120_403_454]
    );
}

#[test]
fn rows_are_packed_into_other_blocks_as_they_were() {
    let vectors = clustered(70, 96, 3);
    let code = encoded(&vectors, CodeMetric::Dot, CodeBits::Four, None);
    let padded = code.space.padded();
    let blocks = || code.blocks.chunks_exact(BlockBuilder::block_len(padded));
    let rows = SignRows::of_blocks(blocks(), padded);
    let (mut block, mut again) = (BlockBuilder::new(padded), Vec::new());
    for row in 0..70 {
        block.push_row(&rows, row);
        if block.is_full() {
            block.finish(&mut again);
        }
    }
    block.finish(&mut again);
    assert_eq!(again, code.blocks);
}

/// Of eight groups of rows: the distance from a mean is about the mean distance of its group, and
/// a row's own group is nearest to it.
#[test]
fn a_mean_stands_for_its_rows() {
    let vectors = clustered(160, 128, 3);
    for metric in [CodeMetric::Dot, CodeMetric::Euclid] {
        let code = encoded(&vectors, metric, CodeBits::Four, None);
        let padded = code.space.padded();
        let blocks = code.blocks.chunks_exact(BlockBuilder::block_len(padded));
        let rows = SignRows::of_blocks(blocks, padded);
        let (mut block, mut means) = (BlockBuilder::new(padded), Vec::new());
        for group in 0..8 {
            let mut mean = SignMean::new(padded);
            (group..160).step_by(8).for_each(|row| mean.add(&rows, row));
            block.push_mean(&mean);
        }
        block.push_mean(&SignMean::new(padded));
        block.finish(&mut means);
        let (mut at_means, mut at_rows) = (BlockEstimates::default(), BlockEstimates::default());
        for (asked, vector) in vectors.iter().enumerate().take(40) {
            let rotated = RotatedQuery::new(code.space.rotation(), vector);
            let query = CodeQuery::new(&code.space, metric, CodeBits::Four, &rotated, 1.9);
            query.block(&means, f32::INFINITY, &mut at_means);
            let mut sums = [0.0; 8];
            for block in code.blocks.chunks_exact(query.block_len()) {
                query.block(block, f32::INFINITY, &mut at_rows);
                // A block has four rows of each group.
                let distances = at_rows.distances.iter().enumerate();
                distances.for_each(|(row, distance)| sums[row % 8] += distance / 20.0);
            }
            let near = at_means.distances[..8].iter().zip(sums);
            for (mean, of_rows) in near {
                assert!((mean - of_rows).abs() < 0.2, "{metric:?} {mean} {of_rows}");
            }
            let nearest = (0..8).min_by(|a, b| {
                let [a, b] = [a, b].map(|group: &usize| at_means.distances[*group]);
                a.total_cmp(&b)
            });
            assert_eq!(nearest, Some(asked % 8), "{metric:?}");
            assert!(
                at_means.distances[8..]
                    .iter()
                    .all(|far| *far == f32::INFINITY)
            );
        }
    }
}

#[test]
fn rows_without_a_vector_are_infinitely_far() {
    let rotation = Rotation::new(20, 1);
    let space = CodeSpace::new(rotation, vec![0.0; 64]);
    let encoder = Encoder::new(&space, CodeMetric::Dot, CodeBits::Four);
    let (mut block, mut rows, mut blocks) = (BlockBuilder::new(64), Vec::new(), Vec::new());
    encoder.encode_absent(&mut block, &mut rows);
    block.finish(&mut blocks);
    let rotated = RotatedQuery::new(space.rotation(), &[1.0; 20]);
    let query = CodeQuery::new(&space, CodeMetric::Dot, CodeBits::Four, &rotated, 1.9);
    let mut out = BlockEstimates::default();
    assert_eq!(query.block(&blocks, f32::INFINITY, &mut out), 0);
    assert_eq!(query.row(&rows).distance, f32::INFINITY);
}

/// Vectors about a centre so far away that a product with it is beyond any float.
#[test]
fn a_huge_centre_makes_no_bound_a_nan() {
    let mut vectors = vec![vec![0.0; 3]; 13];
    vectors[5] = vec![3e38; 3];
    for metric in [CodeMetric::Dot, CodeMetric::Euclid] {
        for bits in [CodeBits::Four, CodeBits::Eight] {
            let code = encoded(&vectors, metric, bits, None);
            for query in [vec![0.0; 3], vec![1e10; 3], vec![1e17; 3], vec![3e38; 3]] {
                let rotated = RotatedQuery::new(code.space.rotation(), &query);
                let query = CodeQuery::new(&code.space, metric, bits, &rotated, 8.0);
                if query.is_finite() {
                    let rows = code.rows.chunks_exact(query.row_len());
                    assert!(rows.into_iter().all(|row| !query.row_lower(row).is_nan()));
                }
            }
        }
    }
}

proptest! {
    // Equal vectors, vectors at the centre, huge and tiny ones, a query of zeros: estimates stay
    // numbers, and a vector that is its own query is found by its bound.
    #[test]
    fn odd_vectors_do_no_harm(
        dim in 1_usize..140,
        kinds in proptest::collection::vec(0_u8..8, 1..40),
        four in any::<bool>(),
        euclid in any::<bool>(),
    ) {
        let vector = |kind: u8| -> Vec<f32> {
            match kind {
                0 => vec![0.0; dim],
                1 => vec![1.0; dim],
                2 => gaussian(dim, 3).iter().map(|x| x * 1e15).collect(),
                3 => gaussian(dim, 4).iter().map(|x| x * 1e-20).collect(),
                4 => (0..dim).map(|at| if at == 0 { 1.0 } else { 0.0 }).collect(),
                // Rare, as its square is beyond any float.
                5 if dim % 3 == 0 => vec![3e38; dim],
                _ => gaussian(dim, 5),
            }
        };
        let vectors: Vec<Vec<f32>> = kinds.iter().map(|&kind| vector(kind)).collect();
        let bits = if four { CodeBits::Four } else { CodeBits::Eight };
        let metric = if euclid { CodeMetric::Euclid } else { CodeMetric::Dot };
        let code = encoded(&vectors, metric, bits, None);
        for vector in &vectors {
            let rotated = RotatedQuery::new(code.space.rotation(), vector);
            let query = CodeQuery::new(&code.space, metric, bits, &rotated, 8.0);
            if !query.is_finite() {
                continue;
            }
            let mut out = BlockEstimates::default();
            for block in code.blocks.chunks_exact(query.block_len()) {
                query.block(block, f32::INFINITY, &mut out);
                prop_assert!(out.lower.iter().all(|x| !x.is_nan()));
            }
            for (row, stored) in code.rows.chunks_exact(query.row_len()).zip(&vectors) {
                let exact = exact(metric, vector, stored);
                let lower = f64::from(query.row_lower(row));
                prop_assert!(!lower.is_nan());
                let size = vectors.iter().flatten().fold(0.0_f64, |m, &x| m.max(x.abs().into()));
                prop_assert!(lower <= exact + 1e-2 * (1.0 + size * size * dim as f64));
            }
        }
    }
}
