//! The scan on product codes: every row of a set is estimated, some at a time.

use quant::ProductQuery;

use crate::neighbor::{Neighbor, TopK};
use crate::rowset::RowSet;

/// Rows estimated at once.
const AT_ONCE: usize = 512;

/// Offers the rows of `rows`, by the estimates of their codes in `codes`, to `top`.
pub fn scan_product(codes: &[u8], query: &ProductQuery, rows: &RowSet, top: &mut TopK) {
    let mut distances = [0.0; AT_ONCE];
    let mut offer = |numbers: &[u32], distances: &[f32]| {
        for (&row, &distance) in numbers.iter().zip(distances) {
            if distance <= top.bound() {
                top.push(Neighbor { distance, row });
            }
        }
    };
    let mut numbers = Vec::with_capacity(AT_ONCE);
    let mut all = rows.iter();
    loop {
        numbers.clear();
        numbers.extend(all.by_ref().take(AT_ONCE));
        let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else {
            return;
        };
        let out = &mut distances[..numbers.len()];
        let side_by_side = (last - first) as usize + 1 == numbers.len();
        let len = query.row_len();
        let stretch = codes.get(first as usize * len..(last as usize + 1) * len);
        match stretch.filter(|_| side_by_side) {
            Some(stretch) => query.distances(stretch, out),
            None => query.distances_gather(codes, &numbers, out),
        }
        offer(&numbers, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quant::{Metric, ProductShape, ProductTraining};

    #[test]
    fn all_rows_of_the_set_are_estimated_once() {
        let shape = ProductShape::new(4, 2);
        let vectors: Vec<f32> = (0..4_u16 * 2_000).map(|n| f32::from(n * 7 % 31)).collect();
        let codebook = ProductTraining::new(shape, &vectors, 1).train();
        let mut codes = Vec::new();
        vectors
            .chunks_exact(4)
            .for_each(|vector| codebook.encode(vector, &mut codes));
        let query = ProductQuery::new(&codebook, Metric::Euclid, &[1.0, 2.0, 3.0, 4.0]);
        for set in [
            RowSet::full(2_000),
            RowSet::from_rows(2_000, (0..2_000).filter(|row| row % 3 == 1)),
            RowSet::new(2_000),
        ] {
            let mut top = TopK::new(2_000);
            scan_product(&codes, &query, &set, &mut top);
            let mut found = top.into_sorted();
            for near in &found {
                let row = &codes[near.row as usize * 2..][..2];
                assert_eq!(near.distance, query.distance(row));
            }
            found.sort_by_key(|near| near.row);
            assert!(found.iter().map(|near| near.row).eq(set.iter()));
        }
    }
}
