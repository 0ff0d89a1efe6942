//! Code kernels in plain Rust: the reference of the others.

use super::codes::{
    BlockOperand, CHUNK_LEN, CodeOps, PairSums, apply_rotation, block_by_sums, check_codes,
    check_pair, code_ops, finish, parts, round_to_grid, rows_below as below,
};
use crate::codes::BLOCK_ROWS;

code_ops!([]);
block_by_sums!([]);

/// Adds to each row what the tables say of its codes.
fn block_sums(lut: &[u8], codes: &[u8], sums: &mut [u32; BLOCK_ROWS]) {
    let (tables, groups) = (lut.as_chunks::<16>().0, codes.as_chunks::<16>().0);
    for (table, group) in tables.iter().zip(groups) {
        for (row, codes) in group.iter().enumerate() {
            sums[row] += u32::from(table[usize::from(codes & 15)]);
            sums[row + 16] += u32::from(table[usize::from(codes >> 4)]);
        }
    }
}

fn bit_pairs(query: &[i8], codes: &[u8]) -> i32 {
    check_codes(query.len(), codes.len(), 16);
    let mut sum = 0;
    for (query, codes) in query.chunks_exact(64).zip(codes.chunks_exact(16)) {
        for (part, query) in query.chunks_exact(16).enumerate() {
            for (query, codes) in query.iter().zip(codes) {
                sum += i32::from(codes >> (2 * part) & 3) * i32::from(*query);
            }
        }
    }
    sum
}

fn nibbles(query: &[i8], codes: &[u8]) -> i32 {
    check_codes(query.len(), codes.len(), 32);
    let (low, high) = query.split_at(query.len() / 2);
    let mut sum = 0;
    for ((codes, low), high) in codes.iter().zip(low).zip(high) {
        sum += i32::from(codes & 15) * i32::from(*low);
        sum += i32::from(codes >> 4) * i32::from(*high);
    }
    sum
}

fn bytes(query: &[i16], codes: &[u8]) -> i32 {
    check_codes(query.len(), codes.len(), 64);
    let products = query.iter().zip(codes);
    products.map(|(q, c)| i32::from(*q) * i32::from(*c)).sum()
}

fn nibble_pair(a: &[u8], b: &[u8]) -> PairSums {
    check_pair(a.len(), b.len());
    let mut sums = [0; 3];
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (
            [a & 15, a >> 4].map(i32::from),
            [b & 15, b >> 4].map(i32::from),
        );
        sums[0] += a[0] * b[0] + a[1] * b[1];
        sums[1] += a[0] + a[1];
        sums[2] += b[0] + b[1];
    }
    sums
}
