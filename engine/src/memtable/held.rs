//! Which rows of a memtable a field index has: told once for each row, when it is first asked.
//!
//! # Invariants
//! - Bit `row` is set if the payload of the row is held; a row keeps its payload as long as it is.

use std::collections::BTreeMap;

use format_spec::Row;
use parking_lot::Mutex;

use crate::error::Result;
use crate::memtable::MemtableView;

/// The path of an index, its type, and the hash of what its content depends on.
pub(crate) type IndexKey = (String, u8, u64);

/// Of each index that was asked about, the rows it has.
#[derive(Default, Debug)]
pub(crate) struct HeldRows(Mutex<BTreeMap<IndexKey, Told>>);

/// What is known of the first rows.
#[derive(Default, Debug)]
struct Told {
    rows: Row,
    held: Vec<u64>,
}

impl MemtableView {
    /// Visible rows that an index has: those whose payload `holds`, which is asked of each row once
    /// in the life of the memtable.
    ///
    /// # Errors
    /// Those of `holds`; what was told before stays.
    pub(crate) fn count_held(
        &self,
        key: &IndexKey,
        holds: impl Fn(&[u8]) -> Result<bool>,
    ) -> Result<u64> {
        let mut all = self.shared.held.0.lock();
        let told = all.entry(key.clone()).or_default();
        while told.rows < self.rows {
            let (word, bit) = (told.rows as usize / 64, told.rows % 64);
            if bit == 0 {
                told.held.push(0);
            }
            told.held[word] |= u64::from(holds(self.payload(told.rows))?) << bit;
            told.rows += 1;
        }
        let held = |row: &Row| told.held[*row as usize / 64] >> (row % 64) & 1 == 1;
        let live = |row: &Row| self.is_live(*row);
        Ok((0..self.rows).filter(|row| held(row) && live(row)).count() as u64)
    }
}
