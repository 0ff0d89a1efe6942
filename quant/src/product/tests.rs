//! Product codes against the arithmetic they stand for: all instruction sets give the same bytes
//! and bits, distances are those of the decoded rows, neighbours are found, odd vectors do no harm.

use proptest::prelude::*;

use super::*;
use crate::codes::split_mix;
use crate::{Element, Isa, Metric, Query};

/// Numbers of -0.5 to 0.5, from a seed.
fn uniform(count: usize, mut seed: u64) -> Vec<f32> {
    let mut draw = || (split_mix(&mut seed) >> 40) as f32 / 16_777_216.0 - 0.5;
    (0..count).map(|_| draw()).collect()
}

/// Vectors around a few centres, side by side, at unit length.
fn clustered(rows: usize, dim: usize, seed: u64) -> Vec<f32> {
    let centres = uniform(16 * dim, seed);
    let noise = uniform(rows * dim, seed ^ 0xABCD);
    let mut vectors = Vec::with_capacity(rows * dim);
    for (row, noise) in noise.chunks_exact(dim).enumerate() {
        let centre = &centres[row % 16 * dim..][..dim];
        let vector: Vec<f32> = noise.iter().zip(centre).map(|(x, c)| x + c).collect();
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vectors.extend(vector.iter().map(|x| x / length));
    }
    vectors
}

fn encoded(codebook: &ProductCodebook, vectors: &[f32]) -> Vec<u8> {
    let mut codes = Vec::new();
    for vector in vectors.chunks_exact(codebook.shape().dim()) {
        codebook.encode(vector, &mut codes);
    }
    codes
}

const METRICS: [Metric; 4] = [
    Metric::Cosine,
    Metric::Dot,
    Metric::Euclid,
    Metric::Manhattan,
];

#[test]
fn every_instruction_set_gives_the_same_bytes_and_bits() {
    // Sub-spaces of all usual widths and others, narrower last ones, groups of sixteen with a rest.
    for (dim, width) in [
        (1, 1),
        (5, 2),
        (37, 1),
        (70, 4),
        (100, 8),
        (53, 16),
        (40, 5),
        (300, 1),
    ] {
        let shape = ProductShape::new(dim, width);
        let vectors = clustered(300, dim, 5);
        let training = ProductTraining::with_isa(Isa::Portable, shape, &vectors, 9);
        let portable = training.train();
        let codes = encoded(&portable, &vectors);
        let query = &clustered(1, dim, 6);
        for isa in Isa::available() {
            let codebook = ProductTraining::with_isa(isa, shape, &vectors, 9).train();
            assert_eq!(codebook.stored(), portable.stored(), "{isa}, {shape:?}");
            assert_eq!(encoded(&codebook, &vectors), codes, "{isa}, {shape:?}");
            for metric in METRICS {
                let want = ProductQuery::new(&portable, metric, query);
                let got = ProductQuery::new(&codebook, metric, query);
                check_ways(
                    &want,
                    &got,
                    &codes,
                    &format!("{isa}, {shape:?}, {metric:?}"),
                );
            }
        }
    }
}

/// All ways to a distance agree, for all numbers of rows at a time.
fn check_ways(want: &ProductQuery, got: &ProductQuery, codes: &[u8], what: &str) {
    let len = want.row_len();
    let expected: Vec<u32> = codes
        .chunks_exact(len)
        .map(|row| want.distance(row).to_bits())
        .collect();
    for rows in [0, 1, 11, 12, 63, 64, 65, 128, 140, 300] {
        let mut out = vec![f32::NAN; rows];
        got.distances(&codes[..rows * len], &mut out);
        let bits: Vec<u32> = out.iter().map(|x| x.to_bits()).collect();
        assert_eq!(bits, &expected[..rows], "{rows} rows, {what}");
        let numbers: Vec<u32> = (0..rows).map(|at| (at * 7 % 310) as u32).collect();
        got.distances_gather(codes, &numbers, &mut out);
        for (&number, distance) in numbers.iter().zip(out) {
            let expected = expected.get(number as usize);
            let infinity = f32::INFINITY.to_bits();
            assert_eq!(
                distance.to_bits(),
                *expected.unwrap_or(&infinity),
                "{number}, {what}"
            );
        }
    }
}

#[test]
fn sums_of_many_sub_spaces_do_not_overflow() {
    let shape = ProductShape::new(1_000, 1);
    let stored: Vec<f32> = (0..1_000).flat_map(|_| [0.0, 1.0]).collect();
    for isa in Isa::available() {
        let codebook = ProductCodebook::with_isa(isa, shape, 2, &stored);
        let query = ProductQuery::new(&codebook, Metric::Manhattan, &[0.0; 1_000]);
        let mut out = [0.0; 70];
        query.distances(&[1; 70_000], &mut out);
        assert!(
            out.iter().all(|x| (x - 1_000.0).abs() < 0.01),
            "{isa}: {out:?}"
        );
    }
}

#[test]
fn distances_are_those_of_the_decoded_rows() {
    for dim in [7, 64, 100] {
        let vectors = clustered(500, dim, 1);
        for compression in Compression::ALL {
            let shape = ProductShape::of(dim, compression);
            let codebook = ProductTraining::new(shape, &vectors, 2).train();
            let codes = encoded(&codebook, &vectors);
            let vector = clustered(1, dim, 3);
            for metric in METRICS {
                let query = ProductQuery::new(&codebook, metric, &vector);
                assert!(query.is_finite());
                let exact = Query::new(metric, Element::F32, dim, &vector).unwrap();
                for row in codes.chunks_exact(shape.row_len()) {
                    let mut decoded = Vec::new();
                    codebook.decode(row, &mut decoded);
                    let bytes: Vec<u8> = decoded.iter().flat_map(|x| x.to_le_bytes()).collect();
                    let difference = (query.distance(row) - exact.distance(&bytes)).abs();
                    assert!(
                        difference <= query.rounding() + 2e-5,
                        "{shape:?}, {metric:?}"
                    );
                }
            }
        }
    }
}

/// Of the ten nearest, how many are among the `candidates` nearest by codes; over 40 queries.
fn recall(metric: Metric, compression: Compression, candidates: usize) -> f64 {
    let (rows, dim) = (4_000, 96);
    let vectors = clustered(rows, dim, 21);
    let shape = ProductShape::of(dim, compression);
    let codebook = ProductTraining::new(shape, &vectors[..2_000 * dim], 4).train();
    let codes = encoded(&codebook, &vectors);
    let bytes: Vec<u8> = vectors.iter().flat_map(|x| x.to_le_bytes()).collect();
    let nearest = |distances: &[f32], count: usize| {
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
        order.truncate(count);
        order
    };
    let mut found = 0;
    for number in 0..40 {
        // Beside a vector, as queries are.
        let beside = vectors.chunks_exact(dim).nth(97 * number).unwrap();
        let noise = uniform(dim, number as u64);
        let vector: Vec<f32> = beside
            .iter()
            .zip(noise)
            .map(|(x, n)| x + 0.05 * n)
            .collect();
        let exact = Query::new(metric, Element::F32, dim, &vector).unwrap();
        let mut distances = vec![0.0; rows];
        exact.distances(&bytes, 4 * dim, &mut distances);
        let truth = nearest(&distances, 10);
        let query = ProductQuery::new(&codebook, metric, &exact.prepared());
        query.distances(&codes, &mut distances);
        let candidates = nearest(&distances, candidates);
        found += truth.iter().filter(|row| candidates.contains(row)).count();
    }
    found as f64 / 400.0
}

#[test]
fn neighbours_are_among_the_nearest_by_codes() {
    let floors = [
        (0.95, 1.0),
        (0.82, 1.0),
        (0.60, 0.99),
        (0.40, 0.94),
        (0.24, 0.83),
    ];
    for (compression, (alone, of_100)) in Compression::ALL.into_iter().zip(floors) {
        for metric in METRICS {
            let found = [10, 100].map(|candidates| recall(metric, compression, candidates));
            println!("{compression:?}, {metric:?}: {found:?}");
            assert!(found[0] >= alone, "{compression:?}, {metric:?}: {found:?}");
            assert!(found[1] >= of_100, "{compression:?}, {metric:?}: {found:?}");
        }
    }
}

#[test]
fn sub_spaces_may_be_learned_in_any_order() {
    let vectors = clustered(400, 30, 8);
    let training = ProductTraining::new(ProductShape::new(30, 4), &vectors, 77);
    let mut backwards: Vec<Subspace> = (0..8).rev().map(|at| training.subspace(at)).collect();
    backwards.reverse();
    assert_eq!(
        training.codebook(&backwards).stored(),
        training.train().stored()
    );
    let other = ProductTraining::new(ProductShape::new(30, 4), &vectors, 78).train();
    assert_ne!(other.stored(), training.train().stored());
}

/// The codes of a few vectors, as they are on disks.
#[test]
fn a_codebook_never_changes() {
    let vectors = clustered(600, 8, 1);
    let codebook = ProductTraining::new(ProductShape::new(8, 4), &vectors, 7).train();
    let codes = encoded(&codebook, &vectors[..32]);
    let first: Vec<u32> = codebook.stored()[..2].iter().map(|x| x.to_bits()).collect();
    assert_eq!(
        (&codes[..], &first[..]),
        (
            &[33, 0, 84, 38, 4, 185, 101, 8][..],
            &[1_048_672_117, 3_198_767_116][..]
        )
    );
}

#[test]
fn few_vectors_are_their_own_centroids() {
    for rows in [1, 2, 100, 256] {
        let vectors = uniform(rows * 6, 3);
        let training = ProductTraining::new(ProductShape::new(6, 4), &vectors, 1);
        let codebook = training.train();
        assert_eq!(codebook.count(), rows);
        let again = ProductCodebook::new(codebook.shape(), rows, &codebook.stored());
        for codebook in [codebook, again] {
            let codes = encoded(&codebook, &vectors);
            assert!(codes.iter().all(|&code| usize::from(code) < rows));
            let mut decoded = Vec::new();
            codes
                .chunks_exact(2)
                .for_each(|row| codebook.decode(row, &mut decoded));
            assert_eq!(decoded, vectors);
        }
    }
}

#[test]
fn centroids_without_points_move_to_the_farthest() {
    // Two hundred equal vectors and a hundred others: most centroids begin at the same place.
    let mut vectors = vec![0.25; 200 * 2];
    vectors.extend(uniform(100 * 2, 4));
    let codebook = ProductTraining::new(ProductShape::new(2, 2), &vectors, 1).train();
    let mut decoded = Vec::new();
    for (vector, row) in vectors.chunks_exact(2).zip(encoded(&codebook, &vectors)) {
        decoded.clear();
        codebook.decode(&[row], &mut decoded);
        assert_eq!(decoded, vector);
    }
}

#[test]
fn overflow_is_told_and_tiny_numbers_are_not_lost() {
    let codebook = |scale: f32| {
        let stored = [scale, -scale, scale, -scale, 0.0, scale];
        ProductCodebook::new(ProductShape::new(3, 2), 2, &stored)
    };
    let huge = codebook(5e37);
    // Infinity less infinity, in one sub-space only.
    assert!(!ProductQuery::new(&huge, Metric::Dot, &[9.0, -9.0, 0.0]).is_finite());
    assert!(!ProductQuery::new(&huge, Metric::Euclid, &[0.0; 3]).is_finite());
    assert!(ProductQuery::new(&huge, Metric::Manhattan, &[0.0; 3]).is_finite());
    let tiny = codebook(1e-40);
    let query = ProductQuery::new(&tiny, Metric::Manhattan, &[0.0; 3]);
    assert!((query.distance(&[0, 1]) - 3e-40).abs() <= query.rounding());
    let flat = ProductCodebook::new(ProductShape::new(1, 1), 1, &[0.5]);
    let query = ProductQuery::new(&flat, Metric::Dot, &[2.0]);
    assert_eq!((query.is_finite(), query.distance(&[0])), (true, -1.0));
}

#[test]
fn without_vectors_there_is_a_codebook_of_zeros() {
    let codebook = ProductTraining::new(ProductShape::new(3, 2), &[], 1).train();
    assert_eq!((codebook.count(), codebook.stored()), (1, vec![0.0; 3]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // Equal vectors, zeros, huge and tiny ones, any dimension: no panic, and no distance is NaN.
    #[test]
    fn odd_vectors_do_no_harm(
        dim in 1_usize..70,
        width in 1_usize..20,
        kinds in proptest::collection::vec(0_u8..7, 1..40),
    ) {
        let vector = |(at, kind): (usize, &u8)| -> Vec<f32> {
            match kind {
                0 => vec![0.0; dim],
                1 => vec![1.0; dim],
                2 => uniform(dim, 3).iter().map(|x| x * 1e15).collect(),
                3 => uniform(dim, 4).iter().map(|x| x * 1e-40).collect(),
                4 if dim % 3 == 0 => vec![3e38; dim],
                5 if dim % 3 == 0 => vec![-3e38; dim],
                _ => uniform(dim, at as u64),
            }
        };
        let vectors: Vec<f32> = kinds.iter().enumerate().flat_map(vector).collect();
        let shape = ProductShape::new(dim, width);
        let codebook = ProductTraining::new(shape, &vectors, 6).train();
        prop_assert!(codebook.stored().iter().all(|x| x.is_finite()));
        let codes = encoded(&codebook, &vectors);
        prop_assert_eq!(codes.len(), kinds.len() * shape.row_len());
        for vector in vectors.chunks_exact(dim) {
            for metric in METRICS {
                let query = ProductQuery::new(&codebook, metric, vector);
                let mut out = vec![0.0; kinds.len()];
                query.distances(&codes, &mut out);
                if query.is_finite() {
                    prop_assert!(out.iter().all(|x| x.is_finite()), "{:?}: {:?}", query, out);
                }
            }
        }
    }
}
