//! Code kernels for NEON: one group of a block, 16 nibble pairs or 16 bytes at a time.

#![expect(
    unsafe_code,
    reason = "vector loads and stores, each of an array of its size"
)]

use std::arch::aarch64::*;

use super::codes::{
    BlockOperand, CHUNK_LEN, CodeOps, apply_rotation, block_by_sums, block_len, check_codes,
    code_ops, finish, finish_near, grid_points, parts, round_to_grid, rows_below as below,
    sliced_product,
};
use super::prefetch::prefetch_whole;
use crate::codes::{BLOCK_ROWS, BlockEstimates};

code_ops!([target_feature(enable = "neon")]);
block_by_sums!([target_feature(enable = "neon")]);

#[target_feature(enable = "neon")]
#[inline]
fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: 16 bytes are there.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// Adds to each row what the tables say of its codes; at most [`CHUNK_LEN`] bytes.
#[target_feature(enable = "neon")]
fn block_sums(lut: &[u8], codes: &[u8], sums: &mut [u32; BLOCK_ROWS]) {
    let nibble = vdupq_n_u8(15);
    let mut rows = [vdupq_n_u16(0); 4];
    // Dimensions come in multiples of 64: groups in multiples of 16.
    let (tables, groups) = (lut.as_chunks::<64>().0, codes.as_chunks::<64>().0);
    for (tables, groups) in tables.iter().zip(groups) {
        // Bytes have room for the entries of `SUMMED` tables.
        let mut of = [vdupq_n_u8(0); 2];
        let sides = tables.as_chunks::<16>().0.iter().zip(groups.as_chunks().0);
        for (table, group) in sides {
            let (table, group) = (load(table), load(group));
            let of_low = vqtbl1q_u8(table, vandq_u8(group, nibble));
            let of_high = vqtbl1q_u8(table, vshrq_n_u8::<4>(group));
            of = [vaddq_u8(of[0], of_low), vaddq_u8(of[1], of_high)];
        }
        rows[0] = vaddw_u8(rows[0], vget_low_u8(of[0]));
        rows[1] = vaddw_high_u8(rows[1], of[0]);
        rows[2] = vaddw_u8(rows[2], vget_low_u8(of[1]));
        rows[3] = vaddw_high_u8(rows[3], of[1]);
    }
    for (sums, rows) in sums.as_chunks_mut::<8>().0.iter_mut().zip(rows) {
        let mut of_eight = [0_u16; 8];
        // SAFETY: eight of 16 bits are there.
        unsafe { vst1q_u16(of_eight.as_mut_ptr(), rows) };
        for (sum, row) in sums.iter_mut().zip(of_eight) {
            *sum += u32::from(row);
        }
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn load_signed(bytes: &[i8; 16]) -> int8x16_t {
    // SAFETY: 16 bytes are there.
    unsafe { vld1q_s8(bytes.as_ptr()) }
}

#[target_feature(enable = "neon")]
#[inline]
fn load_words(words: &[i16; 8]) -> int16x8_t {
    // SAFETY: 8 words are there.
    unsafe { vld1q_s16(words.as_ptr()) }
}

#[target_feature(enable = "neon")]
#[inline]
fn load_half(bytes: &[u8; 8]) -> uint8x8_t {
    // SAFETY: 8 bytes are there.
    unsafe { vld1_u8(bytes.as_ptr()) }
}

#[target_feature(enable = "neon")]
fn bit_pairs(query: &[i8], codes: &[u8]) -> i32 {
    check_codes(query.len(), codes.len(), 16);
    let pair = vdupq_n_u8(3);
    let mut sums = vdupq_n_s32(0);
    let sides = query.as_chunks::<64>().0.iter().zip(codes.as_chunks().0);
    for (query, codes) in sides {
        let codes = load(codes);
        let parts = [
            vandq_u8(codes, pair),
            vandq_u8(vshrq_n_u8::<2>(codes), pair),
            vandq_u8(vshrq_n_u8::<4>(codes), pair),
            vshrq_n_u8::<6>(codes),
        ];
        for (codes, query) in parts.into_iter().zip(query.as_chunks().0) {
            let (codes, query) = (vreinterpretq_s8_u8(codes), load_signed(query));
            sums = vpadalq_s16(sums, vmull_s8(vget_low_s8(codes), vget_low_s8(query)));
            sums = vpadalq_s16(sums, vmull_high_s8(codes, query));
        }
    }
    vaddvq_s32(sums)
}

#[target_feature(enable = "neon")]
fn nibbles(query: &[i8], codes: &[u8]) -> i32 {
    check_codes(query.len(), codes.len(), 32);
    let (low, high) = query.split_at(query.len() / 2);
    let nibble = vdupq_n_u8(15);
    let mut sums = vdupq_n_s32(0);
    let sides = low.as_chunks().0.iter().zip(high.as_chunks().0);
    for (codes, (low, high)) in codes.as_chunks().0.iter().zip(sides) {
        let (codes, low, high) = (load(codes), load_signed(low), load_signed(high));
        let below = vreinterpretq_s8_u8(vandq_u8(codes, nibble));
        let above = vreinterpretq_s8_u8(vshrq_n_u8::<4>(codes));
        // Two products of at most 15 * 127 fit 16 bits.
        let first = vmlal_s8(
            vmull_s8(vget_low_s8(below), vget_low_s8(low)),
            vget_low_s8(above),
            vget_low_s8(high),
        );
        let second = vaddq_s16(vmull_high_s8(below, low), vmull_high_s8(above, high));
        sums = vpadalq_s16(vpadalq_s16(sums, first), second);
    }
    vaddvq_s32(sums)
}

#[target_feature(enable = "neon")]
fn bytes(query: &[i16], codes: &[u8]) -> i32 {
    check_codes(query.len(), codes.len(), 64);
    let mut sums = [vdupq_n_s32(0); 2];
    let sides = query.as_chunks().0.iter().zip(codes.as_chunks().0);
    for (query, codes) in sides {
        let query = load_words(query);
        let codes = vreinterpretq_s16_u16(vmovl_u8(load_half(codes)));
        sums[0] = vmlal_s16(sums[0], vget_low_s16(codes), vget_low_s16(query));
        sums[1] = vmlal_high_s16(sums[1], codes, query);
    }
    vaddvq_s32(vaddq_s32(sums[0], sums[1]))
}
