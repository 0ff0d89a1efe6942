//! Rows: a vector as it lies in memtables, parts and the WAL.
//!
//! A row is `dim` elements, little-endian, without padding or header: `f32`, `f16` (IEEE binary16)
//! or `u8`. Cosine rows of `f32` and `f16` are stored at unit length, so that Cosine is Dot from
//! here on; `u8` rows are stored as given and their length is computed with each distance.
//!
//! # Invariants
//! - A row that [`encode_row`] wrote has only finite elements.
//! - A refused vector leaves `out` as it was.

use std::borrow::Cow;

use half::f16;

use crate::kernel::portable::f16_to_f32;
use crate::{Element, EncodeError, Metric};

/// Appends `input` to `out` as one row.
///
/// Cosine rows of `f32` and `f16` are normalised. A vector whose squared length is within 1e-6 of
/// one is of unit length already, one below 2^-23 has no direction worth the name: both are stored
/// as given, so that what was written is read back.
///
/// # Errors
/// A coordinate that is not finite, that is not an integer of 0 to 255 for `u8`, or that has no
/// finite `f16`. `out` is then unchanged.
pub fn encode_row(
    metric: Metric,
    element: Element,
    input: &[f32],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    check_finite(input)?;
    match element {
        Element::F32 => encode_f32(&prepared(metric, element, input), out),
        Element::F16 => encode_f16(&prepared(metric, element, input), out)?,
        Element::U8 => encode_u8(input, out)?,
    }
    Ok(())
}

/// Appends the elements of `row` to `out`.
///
/// # Panics
/// If `row` is not a whole number of elements.
pub fn decode_row(element: Element, row: &[u8], out: &mut Vec<f32>) {
    match element {
        Element::F32 => {
            let (elements, rest) = row.as_chunks::<4>();
            assert!(
                rest.is_empty(),
                "row of {} bytes is not whole f32 elements",
                row.len()
            );
            out.extend(elements.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        }
        Element::F16 => {
            let (elements, rest) = row.as_chunks::<2>();
            assert!(
                rest.is_empty(),
                "row of {} bytes is not whole f16 elements",
                row.len()
            );
            out.extend(elements.iter().map(|&bytes| f16_to_f32(bytes)));
        }
        Element::U8 => out.extend(row.iter().map(|&byte| f32::from(byte))),
    }
}

/// `input` as the metric compares it: at unit length for Cosine over floats, otherwise as given.
pub(crate) fn prepared(metric: Metric, element: Element, input: &[f32]) -> Cow<'_, [f32]> {
    match (metric, element) {
        (Metric::Cosine, Element::F32 | Element::F16) => normalized(input),
        (Metric::Cosine, Element::U8) | (Metric::Dot | Metric::Euclid | Metric::Manhattan, _) => {
            Cow::Borrowed(input)
        }
    }
}

/// `input` at unit length; as given when its squared length is within 1e-6 of one, or below 2^-23.
///
/// Both limits are Qdrant's. The first makes unit vectors read back bit for bit, which a division
/// by 0.99999997 would not. The second leaves the zero vector, and what is hardly more, alone: its
/// Cosine with anything is (nearly) 0. The sum is taken in f64, where no finite f32 can overflow
/// it.
fn normalized(input: &[f32]) -> Cow<'_, [f32]> {
    let squared: f64 = input.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if squared < f64::from(f32::EPSILON) || (squared - 1.0).abs() <= 1e-6 {
        return Cow::Borrowed(input);
    }
    let inverse = squared.sqrt().recip();
    Cow::Owned(
        input
            .iter()
            .map(|&x| (f64::from(x) * inverse) as f32)
            .collect(),
    )
}

/// Refuses NaN and infinities.
pub(crate) fn check_finite(input: &[f32]) -> Result<(), EncodeError> {
    // One pass without an exit vectorises; the position is looked for only when there is one.
    if input.iter().fold(true, |finite, x| finite & x.is_finite()) {
        return Ok(());
    }
    let index = input
        .iter()
        .position(|x| !x.is_finite())
        .unwrap_or_default();
    Err(EncodeError::NotFinite { index })
}

/// Appends `input` as `f32` elements.
pub(crate) fn encode_f32(input: &[f32], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + input.len() * 4, 0);
    let (elements, _) = out[start..].as_chunks_mut::<4>();
    for (element, x) in elements.iter_mut().zip(input) {
        *element = x.to_le_bytes();
    }
}

fn encode_f16(input: &[f32], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    // The midpoint of 65504 and the 65536 that f16 has no bits for; it and all above round to
    // infinity.
    const LIMIT: f32 = 65520.0;
    if !input.iter().fold(true, |fits, x| fits & (x.abs() < LIMIT)) {
        let index = input
            .iter()
            .position(|x| x.abs() >= LIMIT)
            .unwrap_or_default();
        return Err(EncodeError::Overflow {
            index,
            value: input[index],
        });
    }
    out.extend(input.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()));
    Ok(())
}

/// Appends `input` as `u8` elements.
pub(crate) fn encode_u8(input: &[f32], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    // The cast saturates and drops the fraction, so that only an integer in range comes back
    // unchanged.
    let fits = |x: f32| f32::from(x as u8) == x;
    if !input.iter().fold(true, |all, &x| all & fits(x)) {
        let index = input.iter().position(|&x| !fits(x)).unwrap_or_default();
        return Err(EncodeError::OutOfRange {
            index,
            value: input[index],
        });
    }
    out.extend(input.iter().map(|&x| x as u8));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const METRICS: [Metric; 4] = [
        Metric::Cosine,
        Metric::Dot,
        Metric::Euclid,
        Metric::Manhattan,
    ];
    const ELEMENTS: [Element; 3] = [Element::F32, Element::F16, Element::U8];

    fn encoded(metric: Metric, element: Element, input: &[f32]) -> Vec<u8> {
        let mut row = Vec::new();
        encode_row(metric, element, input, &mut row).unwrap();
        row
    }

    fn decoded(element: Element, row: &[u8]) -> Vec<f32> {
        let mut vector = Vec::new();
        decode_row(element, row, &mut vector);
        vector
    }

    proptest! {
        #[test]
        fn f32_reads_back_bit_for_bit(input in proptest::collection::vec(any::<u32>(), 0..100)) {
            let input: Vec<f32> =
                input.into_iter().map(f32::from_bits).filter(|x| x.is_finite()).collect();
            for metric in [Metric::Dot, Metric::Euclid, Metric::Manhattan] {
                let back = decoded(Element::F32, &encoded(metric, Element::F32, &input));
                let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&back), bits(&input));
            }
        }

        #[test]
        fn u8_reads_back(input in proptest::collection::vec(any::<u8>(), 0..100)) {
            let floats: Vec<f32> = input.iter().map(|&x| f32::from(x)).collect();
            for metric in METRICS {
                let row = encoded(metric, Element::U8, &floats);
                prop_assert_eq!(&row, &input);
                prop_assert_eq!(decoded(Element::U8, &row), floats.clone());
            }
        }

        #[test]
        fn f16_is_the_nearest(input in proptest::collection::vec(-65_504f32..65_504.0, 0..100)) {
            let back = decoded(Element::F16, &encoded(Metric::Dot, Element::F16, &input));
            for (x, y) in input.iter().zip(back) {
                prop_assert_eq!(f16::from_f32(*x).to_f32(), y);
            }
        }

        #[test]
        fn cosine_rows_have_unit_length_and_stay_as_they_are(
            input in proptest::collection::vec(-1e30f32..1e30, 1..2000),
        ) {
            let row = encoded(Metric::Cosine, Element::F32, &input);
            let vector = decoded(Element::F32, &row);
            let squared: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            prop_assert!((squared - 1.0).abs() < 1e-6, "{}", squared);
            prop_assert_eq!(encoded(Metric::Cosine, Element::F32, &vector), row);
        }
    }

    #[test]
    fn largest_finite_vector_is_normalised() {
        let vector = decoded(
            Element::F32,
            &encoded(Metric::Cosine, Element::F32, &[f32::MAX; 4]),
        );
        assert_eq!(vector, [0.5; 4]);
    }

    #[test]
    fn zero_stays_zero() {
        for element in ELEMENTS {
            let row = encoded(Metric::Cosine, element, &[0.0; 7]);
            assert_eq!(row, vec![0; 7 * element.size()]);
        }
    }

    #[test]
    fn nearly_zero_and_nearly_unit_vectors_are_left_alone() {
        for input in [[3e-4, 0.0], [0.6, 0.800_000_2], [0.0, 1.0]] {
            let row = encoded(Metric::Cosine, Element::F32, &input);
            assert_eq!(decoded(Element::F32, &row), input);
        }
    }

    #[test]
    fn bytes_are_not_normalised() {
        assert_eq!(encoded(Metric::Cosine, Element::U8, &[3.0, 4.0]), [3, 4]);
    }

    #[test]
    fn refused_vector_names_the_coordinate_and_leaves_no_trace() {
        for (element, bad, error) in [
            (Element::F32, f32::NAN, EncodeError::NotFinite { index: 2 }),
            (
                Element::F16,
                f32::NEG_INFINITY,
                EncodeError::NotFinite { index: 2 },
            ),
            (
                Element::U8,
                f32::INFINITY,
                EncodeError::NotFinite { index: 2 },
            ),
            (
                Element::U8,
                256.0,
                EncodeError::OutOfRange {
                    index: 2,
                    value: 256.0,
                },
            ),
            (
                Element::U8,
                -1.0,
                EncodeError::OutOfRange {
                    index: 2,
                    value: -1.0,
                },
            ),
            (
                Element::U8,
                0.5,
                EncodeError::OutOfRange {
                    index: 2,
                    value: 0.5,
                },
            ),
            (
                Element::F16,
                65_520.0,
                EncodeError::Overflow {
                    index: 2,
                    value: 65_520.0,
                },
            ),
            (
                Element::F16,
                -1e9,
                EncodeError::Overflow {
                    index: 2,
                    value: -1e9,
                },
            ),
        ] {
            let mut out = vec![42];
            let result = encode_row(Metric::Dot, element, &[1.0, 2.0, bad, bad], &mut out);
            assert_eq!((result, out), (Err(error), vec![42]), "{element:?} {bad}");
        }
    }

    #[test]
    fn largest_f16_and_what_rounds_to_it_fit() {
        let row = encoded(Metric::Dot, Element::F16, &[65_504.0, -65_519.99]);
        assert_eq!(decoded(Element::F16, &row), [65_504.0, -65_504.0]);
    }

    #[test]
    fn negative_zero_is_a_byte() {
        assert_eq!(encoded(Metric::Dot, Element::U8, &[-0.0]), [0]);
    }

    #[test]
    #[should_panic(expected = "not whole f32 elements")]
    fn torn_row_is_our_mistake() {
        decoded(Element::F32, &[0; 7]);
    }
}
