//! Encoding: the nearest centroid of each sub-space.
//!
//! All functions are inlined into a copy for each instruction set. Lanes are centroids, and each
//! lane sums its coordinates in order, so that the width of a register changes no bit.

use super::shape::CENTROIDS;

/// Centroids compared side by side.
const LANES: usize = 32;

/// Encodes a vector: `codes` has a byte for every `width` coordinates.
#[inline(always)]
pub(crate) fn encode(book: &[[f32; CENTROIDS]], width: usize, vector: &[f32], codes: &mut [u8]) {
    let pieces = book.chunks(width).zip(vector.chunks(width));
    for ((book, piece), code) in pieces.zip(codes) {
        (*code, _) = nearest(book, piece);
    }
}

/// The nearest centroid of every point, and its squared distance; `points` lie side by side.
#[inline(always)]
pub(crate) fn assign(
    book: &[[f32; CENTROIDS]],
    points: &[f32],
    codes: &mut [u8],
    distances: &mut [f32],
) {
    let out = codes.iter_mut().zip(distances);
    for (point, (code, distance)) in points.chunks_exact(book.len()).zip(out) {
        (*code, *distance) = nearest(book, point);
    }
}

/// The nearest centroid and its squared distance, both of its key.
///
/// A key is a squared distance, whose last eight bits make room for the number: floats that are not
/// negative are in the order of their bits. One minimum finds both, and of distances that differ by
/// less than 2^-15 of themselves it takes the first.
#[inline(always)]
fn nearest(book: &[[f32; CENTROIDS]], piece: &[f32]) -> (u8, f32) {
    // The usual widths unroll.
    let keys = match *piece {
        [a] => keys_of(book, [a]),
        [a, b] => keys_of(book, [a, b]),
        [a, b, c, d] => keys_of(book, [a, b, c, d]),
        [a, b, c, d, e, f, g, h] => keys_of(book, [a, b, c, d, e, f, g, h]),
        _ => keys_of_any(book, piece),
    };
    let key = least(keys);
    (key as u8, f32::from_bits(key & !NUMBER))
}

/// The least keys, lane by lane.
#[inline(always)]
fn keys_of<const N: usize>(book: &[[f32; CENTROIDS]], piece: [f32; N]) -> [u32; LANES] {
    let mut keys = [u32::MAX; LANES];
    let Some(book) = book.first_chunk::<N>() else {
        return keys;
    };
    for first in (0..CENTROIDS).step_by(LANES) {
        for lane in 0..LANES {
            let mut sum = 0.0;
            for at in 0..N {
                let difference = piece[at] - book[at][first + lane];
                sum += difference * difference;
            }
            keys[lane] = keys[lane].min(key(sum, first + lane));
        }
    }
    keys
}

/// [`keys_of`] for any width.
#[inline(always)]
fn keys_of_any(book: &[[f32; CENTROIDS]], piece: &[f32]) -> [u32; LANES] {
    let mut sums = [0.0; CENTROIDS];
    for (book, &x) in book.iter().zip(piece) {
        for (sum, c) in sums.iter_mut().zip(book) {
            *sum += (x - c) * (x - c);
        }
    }
    let mut keys = [u32::MAX; LANES];
    for (first, sums) in sums.as_chunks::<LANES>().0.iter().enumerate() {
        for lane in 0..LANES {
            keys[lane] = keys[lane].min(key(sums[lane], LANES * first + lane));
        }
    }
    keys
}

/// The bits of a key that are the number.
const NUMBER: u32 = CENTROIDS as u32 - 1;

#[inline(always)]
fn key(distance: f32, number: usize) -> u32 {
    distance.to_bits() & !NUMBER | number as u32
}

#[inline(always)]
fn least(mut keys: [u32; LANES]) -> u32 {
    let mut half = LANES / 2;
    while half > 0 {
        for at in 0..half {
            keys[at] = keys[at].min(keys[at + half]);
        }
        half /= 2;
    }
    keys[0]
}
