//! Every kernel of every instruction set of this machine against plain sums in f64 and in integers.
//!
//! Guards the bound of [`crate::rounding`], exact sums over bytes, tails of any length, rows at any
//! address, and that a row has one distance whichever way it is asked for.

use proptest::prelude::*;

use crate::{Element, Isa, Metric, Pairwise, Query, decode_row, encode_row, rounding};

const METRICS: [Metric; 4] = [
    Metric::Cosine,
    Metric::Dot,
    Metric::Euclid,
    Metric::Manhattan,
];
const ELEMENTS: [Element; 3] = [Element::F32, Element::F16, Element::U8];

/// What the coordinates of a case are drawn from.
#[derive(Debug, Clone, Copy)]
enum Values {
    /// -1 to 1.
    Plain,
    /// Any magnitude that f16 has, subnormals included.
    Tiny,
    /// Subnormals of f32 and a little above: products vanish.
    Subnormal,
    /// As large as 4096 squared differences can be without overflow; 65 504 where f16 has to hold
    /// them.
    Large,
    /// All of them side by side.
    Mixed,
    /// All coordinates at the upper end.
    Highest,
}

#[derive(Debug, Clone)]
struct Case {
    dim: usize,
    rows: usize,
    seed: u64,
    values: Values,
    /// Bytes before the first row, and between rows.
    offset: usize,
    padding: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    let dim = prop_oneof![
        4 => 1usize..=130,
        2 => prop::sample::select(vec![255, 256, 257, 384, 511, 513, 768, 1023, 1536, 3072, 4095]),
        4 => 1usize..=4096,
    ];
    let values = prop::sample::select(vec![
        Values::Plain,
        Values::Tiny,
        Values::Subnormal,
        Values::Large,
        Values::Mixed,
        Values::Highest,
    ]);
    (
        dim,
        1usize..=9,
        any::<u64>(),
        values,
        0usize..=7,
        0usize..=5,
    )
        .prop_map(|(dim, rows, seed, values, offset, padding)| Case {
            dim,
            rows,
            seed,
            values,
            offset,
            padding,
        })
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn coordinate(values: Values, element: Element, state: &mut u64) -> f32 {
    let bits = next(state);
    let unit = (bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    let largest = if element == Element::F16 {
        65_504.0
    } else {
        1e17
    };
    match (element, values) {
        (Element::U8, Values::Highest) => 255.0,
        (Element::U8, Values::Tiny) => (bits % 3) as f32,
        (Element::U8, Values::Large) => 255.0 * (bits % 2) as f32,
        (Element::U8, Values::Plain | Values::Subnormal | Values::Mixed) => (bits % 256) as f32,
        (_, Values::Plain) => unit,
        (_, Values::Tiny) => unit * 2f32.powi(-((bits % 26) as i32)),
        (_, Values::Subnormal) => f32::from_bits((bits % (1 << 25)) as u32) * unit.signum(),
        (_, Values::Large) => unit * largest,
        (_, Values::Highest) => largest,
        (_, Values::Mixed) => {
            let kinds = [
                Values::Plain,
                Values::Tiny,
                Values::Subnormal,
                Values::Large,
            ];
            coordinate(kinds[(bits % 4) as usize], element, state)
        }
    }
}

/// The case's query and its rows, as stored.
struct Drawn {
    query: Vec<f32>,
    base: Vec<u8>,
    offset: usize,
    stride: usize,
    row_len: usize,
}

impl Drawn {
    fn new(case: &Case, metric: Metric, element: Element) -> Self {
        let mut state = case.seed;
        let mut draw = || -> Vec<f32> {
            (0..case.dim)
                .map(|_| coordinate(case.values, element, &mut state))
                .collect()
        };
        let query = draw();
        let row_len = case.dim * element.size();
        let mut base = vec![0xff; case.offset];
        for _ in 0..case.rows {
            encode_row(metric, element, &draw(), &mut base).unwrap();
            base.resize(base.len() + case.padding, 0xff);
        }
        Self {
            query,
            base,
            offset: case.offset,
            stride: row_len + case.padding,
            row_len,
        }
    }

    fn base(&self) -> &[u8] {
        &self.base[self.offset..]
    }

    fn row(&self, n: usize) -> &[u8] {
        &self.base()[n * self.stride..][..self.row_len]
    }

    /// The query as the kernels compare it: rows of bytes take it as it is, of floats in f32 at the
    /// metric's length.
    fn prepared(&self, metric: Metric, element: Element) -> Vec<f32> {
        let wide = if element == Element::U8 {
            Element::U8
        } else {
            Element::F32
        };
        let (mut row, mut prepared) = (Vec::new(), Vec::new());
        encode_row(metric, wide, &self.query, &mut row).unwrap();
        decode_row(wide, &row, &mut prepared);
        prepared
    }
}

/// The distance by the book, and the sum of the magnitudes of its terms.
fn reference(metric: Metric, element: Element, a: &[f32], b: &[f32]) -> (f64, f64) {
    let pairs = || a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    match (metric, element) {
        (Metric::Cosine, Element::U8) => {
            let dot: f64 = pairs().map(|(a, b)| a * b).sum();
            let norms = |v: &[f32]| v.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
            let length = (norms(a) * norms(b)).sqrt();
            let cosine = if length == 0.0 { 0.0 } else { -dot / length };
            (cosine, cosine.abs())
        }
        (Metric::Cosine | Metric::Dot, _) => {
            let terms = || pairs().map(|(a, b)| a * b);
            (-terms().sum::<f64>(), terms().map(f64::abs).sum())
        }
        (Metric::Euclid, _) => {
            let sum = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
            (sum, sum)
        }
        (Metric::Manhattan, _) => {
            let sum = pairs().map(|(a, b)| (a - b).abs()).sum();
            (sum, sum)
        }
    }
}

/// Whether `distance` is as near as the kernels promise.
fn holds(element: Element, dim: usize, distance: f32, (exact, magnitude): (f64, f64)) -> bool {
    match element {
        // The reference is exact too, f64 having room for the integers.
        Element::U8 => distance == exact as f32,
        Element::F32 | Element::F16 => {
            // The reference's own roundings are 2^-29 of the bound.
            let bound = rounding(dim) * magnitude * 1.001 + dim as f64 * 2f64.powi(-149);
            (f64::from(distance) - exact).abs() <= bound
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn query_distances_are_within_their_bound(case in cases()) {
        for (metric, element) in METRICS.into_iter().flat_map(|m| ELEMENTS.map(|e| (m, e))) {
            let drawn = Drawn::new(&case, metric, element);
            let prepared = drawn.prepared(metric, element);
            for isa in Isa::available() {
                let query = Query::with_isa(isa, metric, element, case.dim, &drawn.query).unwrap();
                for n in 0..case.rows {
                    let mut row = Vec::new();
                    decode_row(element, drawn.row(n), &mut row);
                    let exact = reference(metric, element, &prepared, &row);
                    let distance = query.distance(drawn.row(n));
                    prop_assert!(
                        holds(element, case.dim, distance, exact),
                        "{isa} {metric:?} {element:?} row {n}: {distance}, exactly {exact:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn pair_distances_are_within_their_bound_and_symmetric(case in cases()) {
        for (metric, element) in METRICS.into_iter().flat_map(|m| ELEMENTS.map(|e| (m, e))) {
            let drawn = Drawn::new(&case, metric, element);
            let (mut a, mut b) = (Vec::new(), Vec::new());
            let last = drawn.row(case.rows - 1);
            decode_row(element, drawn.row(0), &mut a);
            decode_row(element, last, &mut b);
            let exact = reference(metric, element, &a, &b);
            for isa in Isa::available() {
                let pairwise = Pairwise::with_isa(isa, metric, element, case.dim);
                let distance = pairwise.distance(drawn.row(0), last);
                prop_assert!(
                    holds(element, case.dim, distance, exact),
                    "{isa} {metric:?} {element:?}: {distance}, exactly {exact:?}"
                );
                let turned = pairwise.distance(last, drawn.row(0));
                prop_assert_eq!(distance.to_bits(), turned.to_bits());
            }
        }
    }

    #[test]
    fn row_has_one_distance(case in cases(), missing in 0usize..12) {
        for (metric, element) in METRICS.into_iter().flat_map(|m| ELEMENTS.map(|e| (m, e))) {
            let drawn = Drawn::new(&case, metric, element);
            for isa in Isa::available() {
                let query = Query::with_isa(isa, metric, element, case.dim, &drawn.query).unwrap();
                let one: Vec<f32> = (0..case.rows).map(|n| query.distance(drawn.row(n))).collect();

                let mut block = vec![f32::NAN; case.rows];
                query.distances(drawn.base(), drawn.stride, &mut block);
                prop_assert_eq!(&block, &one, "{} {:?} {:?}", isa, metric, element);

                // Backwards, with a number that is not there in any place of a group, or in none.
                let mut rows: Vec<u32> = (0..case.rows as u32).rev().collect();
                let mut expected: Vec<f32> = one.into_iter().rev().collect();
                if missing <= rows.len() {
                    rows.insert(missing, case.rows as u32);
                    expected.insert(missing, f32::INFINITY);
                }
                let mut gathered = vec![f32::NAN; rows.len()];
                // Padding after the last row would be one more row where a row is no longer than
                // it.
                let base = &drawn.base()[..case.rows * drawn.stride - case.padding];
                query.distances_gather(base, drawn.stride, &rows, &mut gathered);
                prop_assert_eq!(&gathered, &expected, "{} {:?} {:?}", isa, metric, element);
            }
        }
    }

    #[test]
    fn row_as_query_is_the_pair(case in cases()) {
        for (metric, element) in METRICS.into_iter().flat_map(|m| ELEMENTS.map(|e| (m, e))) {
            let drawn = Drawn::new(&case, metric, element);
            let query = Query::of_row(metric, element, drawn.row(0));
            let pairwise = Pairwise::new(metric, element, case.dim);
            for n in 0..case.rows {
                let a = query.distance(drawn.row(n));
                let b = pairwise.distance(drawn.row(0), drawn.row(n));
                prop_assert_eq!(a.to_bits(), b.to_bits(), "{:?} {:?}", metric, element);
            }
        }
    }
}

#[test]
fn sums_over_the_longest_byte_rows_are_exact() {
    let dim = crate::MAX_DIM;
    let (high, low) = (vec![255u8; dim], vec![0u8; dim]);
    let square = dim as f32 * 65_025.0;
    for isa in Isa::available() {
        let distance =
            |metric, a, b| Pairwise::with_isa(isa, metric, Element::U8, dim).distance(a, b);
        assert_eq!(distance(Metric::Dot, &high, &high), -square, "{isa}");
        assert_eq!(distance(Metric::Euclid, &high, &low), square, "{isa}");
        assert_eq!(
            distance(Metric::Manhattan, &low, &high),
            dim as f32 * 255.0,
            "{isa}"
        );
        assert_eq!(distance(Metric::Cosine, &high, &high), -1.0, "{isa}");
    }
}

#[test]
fn zero_vector_is_at_cosine_distance_zero() {
    for element in ELEMENTS {
        for isa in Isa::available() {
            let query = Query::with_isa(isa, Metric::Cosine, element, 3, &[0.0; 3]).unwrap();
            let (mut row, zero) = (Vec::new(), vec![0; 3 * element.size()]);
            encode_row(Metric::Cosine, element, &[1.0, 2.0, 3.0], &mut row).unwrap();
            let pairwise = Pairwise::with_isa(isa, Metric::Cosine, element, 3);
            let distances = [
                query.distance(&row),
                query.distance(&zero),
                pairwise.distance(&zero, &row),
                pairwise.distance(&row, &zero),
                pairwise.distance(&zero, &zero),
            ];
            let bits = distances.map(f32::to_bits);
            assert_eq!(bits, [0; 5], "{isa} {element:?}: positive zero");
        }
    }
}

#[test]
fn every_f16_is_converted_by_every_kernel() {
    for isa in Isa::available() {
        let query = Query::with_isa(isa, Metric::Manhattan, Element::F16, 1, &[0.0]).unwrap();
        for bits in 0..=u16::MAX {
            let row = bits.to_le_bytes();
            let (full, padded) = (query.distance(&row), [row; 17].concat());
            let value = half::f16::from_bits(bits).to_f32().abs();
            let expected = if value.is_nan() { f32::INFINITY } else { value };
            assert_eq!(full, expected, "{isa} {bits:#06x}");
            if bits % 97 == 0 && value < 1.0 {
                // Sixteen whole lanes and a tail of one; multiples of an f16 below 1 are exact.
                let wide = Query::with_isa(isa, Metric::Manhattan, Element::F16, 17, &[0.0; 17]);
                assert_eq!(
                    wide.unwrap().distance(&padded),
                    17.0 * value,
                    "{isa} {bits:#06x}"
                );
            }
        }
    }
}

#[test]
fn overflow_is_never_nan() {
    let vector = [f32::MAX, f32::MAX, f32::MAX, -f32::MAX];
    let mut row = Vec::new();
    encode_row(Metric::Dot, Element::F32, &[f32::MAX; 4], &mut row).unwrap();
    for isa in Isa::available() {
        for metric in [Metric::Dot, Metric::Euclid, Metric::Manhattan] {
            let query = Query::with_isa(isa, metric, Element::F32, 4, &vector).unwrap();
            assert!(!query.distance(&row).is_nan(), "{isa} {metric:?}");
        }
        let damaged = Query::with_isa(isa, Metric::Dot, Element::F32, 4, &vector).unwrap();
        assert_eq!(
            damaged.distance(&[0xff; 16]),
            f32::INFINITY,
            "{isa}: NaN ranks last"
        );
    }
}

#[test]
fn nothing_is_asked_of_no_rows() {
    let query = Query::new(Metric::Dot, Element::F32, 2, &[1.0, 2.0]).unwrap();
    query.distances(&[], 8, &mut []);
    query.distances_gather(&[], 8, &[], &mut []);
    let mut out = [0.0; 5];
    query.distances_gather(&[], 8, &[0, 1, 2, 3, u32::MAX], &mut out);
    assert_eq!(out, [f32::INFINITY; 5]);
}

#[test]
fn vector_of_another_dimension_is_refused() {
    use crate::EncodeError as Error;
    let new = |dim, vector: &[f32]| Query::new(Metric::Dot, Element::F32, dim, vector).map(|_| ());
    assert_eq!(
        new(3, &[1.0]),
        Err(Error::Dimension {
            expected: 3,
            found: 1
        })
    );
    assert_eq!(new(0, &[]), Err(Error::Unsupported { dim: 0 }));
    assert_eq!(new(70_000, &[]), Err(Error::Unsupported { dim: 70_000 }));
    assert_eq!(new(1, &[f32::NAN]), Err(Error::NotFinite { index: 0 }));
    let byte = Query::new(Metric::Dot, Element::U8, 1, &[0.5]).map(|_| ());
    assert_eq!(
        byte,
        Err(Error::OutOfRange {
            index: 0,
            value: 0.5
        })
    );
}

#[test]
#[should_panic(expected = "row is 12 bytes, not 8")]
fn row_of_another_length_is_our_mistake() {
    let query = Query::new(Metric::Dot, Element::F32, 2, &[1.0, 2.0]).unwrap();
    let _ = query.distance(&[0; 12]);
}

#[test]
#[should_panic(expected = "row is 4 bytes, not 8")]
fn second_row_of_another_length_is_our_mistake() {
    let _ = Pairwise::new(Metric::Dot, Element::F32, 2).distance(&[0; 8], &[0; 4]);
}

#[test]
#[should_panic(expected = "range end index 8 out of range")]
fn block_that_ends_early_is_our_mistake() {
    let query = Query::new(Metric::Dot, Element::F32, 2, &[1.0, 2.0]).unwrap();
    query.distances(&[0; 20], 8, &mut [0.0; 3]);
}
