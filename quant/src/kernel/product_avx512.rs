//! Product kernels for AVX-512 F, BW, VL and VNNI: the comparison of centroids is as wide as its
//! registers; codes are looked up one at a time, as gathers of sixteen take twice the time.

use super::product::{
    ProductOperand, ProductOps, Term, assign_points, encode_row, look_up_block, look_up_numbers,
    operand_of, product_ops, without_planes,
};
use crate::product::CENTROIDS;

product_ops!([target_feature(enable = "avx512bw,avx512vl,avx512vnni")]);
