//! Code kernels in plain Rust: the reference of the others.

use super::codes::{
    BlockOperand, CHUNK_LEN, CodeOps, apply_rotation, block_by_sums, block_len, check_codes,
    code_ops, finish, finish_near, grid_points, parts, round_to_grid, rows_below as below,
    sliced_product,
};
use super::prefetch::prefetch_whole;
use crate::codes::{BLOCK_ROWS, BlockEstimates};

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
