//! Product kernels for AVX2: the comparison of centroids is as wide as its registers; codes are
//! looked up one at a time, as gathers of eight are no faster.

use super::product::{
    ProductOperand, ProductOps, Term, assign_points, encode_row, look_up_block, look_up_numbers,
    operand_of, product_ops, without_planes,
};
use crate::product::CENTROIDS;

product_ops!([target_feature(enable = "avx2,fma,f16c")]);
