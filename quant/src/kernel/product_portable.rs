//! Product kernels in plain Rust: a code at a time.

use super::product::{
    ProductOperand, ProductOps, Term, assign_points, encode_row, look_up_block, look_up_numbers,
    operand_of, product_ops, without_planes,
};
use crate::product::CENTROIDS;

product_ops!([]);
