//! Base lists in as few bits as the rows of a segment need.
//!
//! ```text
//! list  [neighbours of `bits` bits each, lowest bits first; a place without one is all ones]
//! ```
//!
//! # Invariants
//! - Lists have one stride, so that a row leads to its list without a table.
//! - They say what the graph that was packed says, in its order.

use crate::hot::HotBytes;
use crate::{Adjacency, Row};

/// Bytes read at once for one neighbour: 32 bits begin anywhere in the first byte.
const WINDOW: usize = 8;

/// Lists side by side.
#[derive(Debug)]
pub(super) struct PackedLists {
    bytes: HotBytes,
    /// Bits of a neighbour.
    bits: usize,
    /// Neighbours a list has room for.
    longest: usize,
    /// Bytes of a list.
    stride: usize,
}

impl PackedLists {
    /// Packs the base layer of `graph`; `longest` is how long a list may be.
    ///
    /// # Panics
    /// If a list is longer or names a row that the graph does not have.
    pub(super) fn pack<A: Adjacency + ?Sized>(graph: &A, longest: usize) -> Self {
        let (bits, stride) = shape(graph.len(), longest);
        let mut bytes = HotBytes::zeroed(graph.len() as usize * stride + WINDOW);
        let (none, lists) = (none(bits), bytes.bytes_mut());
        for row in 0..graph.len() {
            let list = graph.base(row);
            assert!(list.len() <= longest, "list of {} rows", list.len());
            let places = list.iter().map(|&next| u64::from(next));
            let places = places.chain(std::iter::repeat(none)).take(longest);
            let start = row as usize * stride;
            for (at, value) in places.enumerate() {
                let is_row = value < u64::from(graph.len());
                assert!(is_row || value == none, "{value} is no row");
                put(&mut lists[start..], at * bits, value);
            }
        }
        Self {
            bytes,
            bits,
            longest,
            stride,
        }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.bytes().len()
    }

    /// Bytes that the lists of so many rows would take.
    pub(super) fn bytes_for(rows: u32, longest: usize) -> u64 {
        u64::from(rows) * shape(rows, longest).1 as u64 + WINDOW as u64
    }

    /// The bytes of a list.
    pub(super) fn list_bytes(&self, row: Row) -> &[u8] {
        &self.bytes.bytes()[row as usize * self.stride..][..self.stride]
    }

    /// The neighbours of a row.
    pub(super) fn list(&self, row: Row) -> impl Iterator<Item = Row> {
        let bytes = &self.bytes.bytes()[row as usize * self.stride..];
        let none = none(self.bits);
        let places = (0..self.longest).map(move |at| {
            let bit = at * self.bits;
            let window = bytes[bit / 8..].first_chunk::<WINDOW>();
            window.map_or(none, |window| {
                u64::from_le_bytes(*window) >> (bit % 8) & none
            })
        });
        places
            .take_while(move |place| *place != none)
            .map(|place| place as Row)
    }
}

/// Bits of a neighbour, of which all ones is no row, and bytes of a list.
fn shape(rows: u32, longest: usize) -> (usize, usize) {
    let bits = (u32::BITS - rows.leading_zeros()).max(1) as usize;
    (bits, (bits * longest).div_ceil(8))
}

/// What stands where a list has no neighbour.
const fn none(bits: usize) -> u64 {
    (1 << bits) - 1
}

/// Writes a value at a bit where there are zeros.
fn put(bytes: &mut [u8], bit: usize, value: u64) {
    if let Some(window) = bytes[bit / 8..].first_chunk_mut::<WINDOW>() {
        let with = u64::from_le_bytes(*window) | value << (bit % 8);
        *window = with.to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::Plain;
    use crate::{BuildSettings, RowSet};

    #[test]
    fn packed_lists_are_those_of_the_graph() {
        let settings = BuildSettings {
            m: 5,
            ef_construct: 30,
            seed: 3,
        };
        // Rows around a power of two, where one more takes a bit more; some not in the graph.
        for rows in [1, 2, 3, 255, 256, 257, 511] {
            let space = Plain::clustered(rows, 8, 4, 7);
            let present = RowSet::from_rows(rows, (0..rows).filter(|row| row % 7 != 3));
            let graph = space.build(settings, Some(&present));
            let packed = PackedLists::pack(&graph, 10);
            for row in 0..rows {
                let list: Vec<Row> = packed.list(row).collect();
                assert_eq!(list, graph.base(row), "row {row} of {rows}");
            }
            assert_eq!(packed.bytes() as u64, PackedLists::bytes_for(rows, 10));
        }
        // 18 bits a neighbour where a number of 32 bits would be read as it is.
        assert_eq!(shape(200_000, 32), (18, 72));
        assert_eq!(shape(u32::MAX, 32), (32, 128));
    }
}
