//! Memtable: the rows that are not yet in a segment.
//!
//! ```text
//! map     (PointId, SeqNo descending) -> Row          insert only, dropped whole
//! blocks  Row -> id, born, dead_at, vectors, payload  the last block is copied on write
//! ```
//!
//! One writer (under the shard's apply lock) appends rows and ends older ones; readers hold a
//! [`MemtableView`], which never changes but for rows that die after its SeqNo.
//!
//! # Invariants
//! - A row is visible at s iff born <= s < dead_at.
//! - Per id at most one row is alive.
//! - `bytes` counts what the memtable keeps in memory: vectors, payloads and map nodes.

mod block;

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_skiplist::SkipMap;
use format_spec::{PointId, Row, SeqNo};

use block::Block;

/// Estimated bytes of a map node and of the fixed columns of a row.
const ROW_OVERHEAD_BYTES: u64 = 160;

/// What all views of one memtable share.
#[derive(Debug)]
pub(crate) struct Shared {
    map: SkipMap<(PointId, Reverse<SeqNo>), Row>,
    bytes: AtomicU64,
    block_rows: u32,
}

/// The writer's side of a memtable.
#[derive(Debug)]
pub(crate) struct Memtable {
    shared: Arc<Shared>,
    blocks: Vec<Arc<Block>>,
    strides: Vec<usize>,
    rows: u32,
    alive: u32,
    /// For each vector name, rows without it.
    absent: Vec<u32>,
}

impl Memtable {
    /// An empty memtable for vectors of the given strides in bytes, in schema order.
    pub(crate) fn new(strides: Vec<usize>) -> Self {
        let block_rows = block::rows_for(strides.iter().sum()) as u32;
        let shared = Shared {
            map: SkipMap::new(),
            bytes: AtomicU64::new(0),
            block_rows,
        };
        Self {
            shared: Arc::new(shared),
            blocks: Vec::new(),
            absent: vec![0; strides.len()],
            strides,
            rows: 0,
            alive: 0,
        }
    }

    /// Bytes kept in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Rows, dead ones included.
    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// Adds a row for `id`; the caller has ended the older row of the id.
    pub(crate) fn insert<'a>(
        &mut self,
        id: PointId,
        seqno: SeqNo,
        vector: impl Fn(usize) -> Option<&'a [u8]>,
        payload: &[u8],
    ) -> Row {
        let row = self.rows;
        if self.blocks.last().is_none_or(|block| block.is_full()) {
            let block = Block::new(self.shared.block_rows as usize, &self.strides);
            self.blocks.push(Arc::new(block));
        }
        for (index, absent) in self.absent.iter_mut().enumerate() {
            *absent += u32::from(vector(index).is_none());
        }
        if let Some(block) = self.blocks.last_mut() {
            Arc::make_mut(block).push(id, seqno, vector, payload);
        }
        self.rows += 1;
        self.alive += 1;
        let bytes = self.strides.iter().sum::<usize>() + payload.len();
        self.shared
            .bytes
            .fetch_add(bytes as u64 + ROW_OVERHEAD_BYTES, Ordering::Relaxed);
        self.shared.map.insert((id, Reverse(seqno)), row);
        row
    }

    /// What a reader sees when `seqno`, the last operation applied, is published.
    pub(crate) fn view(&self, seqno: SeqNo) -> MemtableView {
        MemtableView {
            shared: Arc::clone(&self.shared),
            blocks: self.blocks.clone().into(),
            rows: self.rows,
            live: self.alive,
            absent: self.absent.clone(),
            seqno,
        }
    }

    /// The row of `id` that is alive now.
    pub(crate) fn alive(&self, id: PointId) -> Option<Row> {
        let row = newest(&self.shared, id, SeqNo(u64::MAX))?;
        let (block, at) = self.shared.place(row);
        self.blocks.get(block)?.is_alive(at).then_some(row)
    }

    /// Ends `row` with the operation `seqno`.
    pub(crate) fn kill(&mut self, row: Row, seqno: SeqNo) -> bool {
        let (block, at) = self.shared.place(row);
        let killed = self
            .blocks
            .get(block)
            .is_some_and(|block| block.kill(at, seqno));
        self.alive -= u32::from(killed);
        killed
    }
}

impl Shared {
    fn place(&self, row: Row) -> (usize, usize) {
        (
            (row / self.block_rows) as usize,
            (row % self.block_rows) as usize,
        )
    }
}

fn newest(shared: &Shared, id: PointId, upto: SeqNo) -> Option<Row> {
    let entry = shared
        .map
        .lower_bound(std::ops::Bound::Included(&(id, Reverse(upto))))?;
    (entry.key().0 == id).then(|| *entry.value())
}

/// A memtable as of one SeqNo.
#[derive(Clone, Debug)]
pub struct MemtableView {
    shared: Arc<Shared>,
    blocks: Arc<[Arc<Block>]>,
    rows: u32,
    live: u32,
    absent: Vec<u32>,
    seqno: SeqNo,
}

impl MemtableView {
    /// The same rows seen at `seqno`.
    pub(crate) fn at(&self, seqno: SeqNo) -> Self {
        let mut view = Self {
            seqno,
            ..self.clone()
        };
        view.live = (0..view.rows).filter(|&row| view.is_live(row)).count() as u32;
        view
    }

    /// Rows, those not visible included.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes the whole memtable keeps in memory.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Rows of one block; [`Self::block_data`] gives their vectors together.
    pub fn block_rows(&self) -> u32 {
        self.shared.block_rows
    }

    fn block(&self, row: Row) -> Option<(&Block, usize)> {
        if row >= self.rows {
            return None;
        }
        let (block, at) = self.shared.place(row);
        self.blocks.get(block).map(|block| (&**block, at))
    }

    /// Whether `row` is visible.
    pub fn is_live(&self, row: Row) -> bool {
        self.block(row)
            .is_some_and(|(block, at)| block.is_visible(at, self.seqno))
    }

    /// The id of `row`.
    pub fn id(&self, row: Row) -> Option<PointId> {
        self.block(row).map(|(block, at)| block.id(at))
    }

    /// The SeqNo that wrote `row`.
    pub fn born(&self, row: Row) -> Option<SeqNo> {
        self.block(row).map(|(block, at)| block.born(at))
    }

    /// The visible row of `id`.
    pub fn row_of(&self, id: PointId) -> Option<Row> {
        let row = newest(&self.shared, id, self.seqno)?;
        self.is_live(row).then_some(row)
    }

    /// The vector `index` of `row`.
    pub fn vector(&self, index: usize, row: Row) -> Option<&[u8]> {
        self.block(row)
            .and_then(|(block, at)| block.vector(index, at))
    }

    /// Whether `row` has the vector `index`.
    pub fn has_vector(&self, index: usize, row: Row) -> bool {
        self.block(row)
            .is_some_and(|(block, at)| block.has_vector(index, at))
    }

    /// Whether all rows have the vector `index`.
    pub(crate) fn is_complete(&self, index: usize) -> bool {
        self.absent.get(index) == Some(&0)
    }

    /// The vectors `index` of the rows `block * block_rows ..`, contiguous, zeros where absent.
    pub fn block_data(&self, index: usize, block: usize) -> &[u8] {
        self.blocks
            .get(block)
            .map_or(&[], |block| block.vector_data(index))
    }

    /// The payload of `row`, encoded; empty beyond the last row.
    pub fn payload(&self, row: Row) -> &[u8] {
        self.block(row)
            .map_or(format_spec::EMPTY_PAYLOAD, |(block, at)| block.payload(at))
    }

    /// The visible rows in the order of their ids, from `start` on.
    pub fn ids_from(&self, start: Option<PointId>) -> impl Iterator<Item = (PointId, Row)> + '_ {
        let from = (
            start.unwrap_or(PointId::Number(0)),
            Reverse(SeqNo(u64::MAX)),
        );
        self.shared.map.range(from..).filter_map(|entry| {
            let row = *entry.value();
            self.is_live(row).then(|| (entry.key().0, row))
        })
    }

    /// Visible rows.
    pub fn live_count(&self) -> u32 {
        self.live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(table: &mut Memtable, id: u64, seqno: u64) {
        let id = PointId::Number(id);
        if let Some(row) = table.alive(id) {
            table.kill(row, SeqNo(seqno));
        }
        table.insert(id, SeqNo(seqno), |_| Some(&[1, 2, 3, 4]), b"p");
    }

    #[test]
    fn a_view_keeps_its_rows_while_the_memtable_changes() {
        let mut table = Memtable::new(vec![4]);
        put(&mut table, 1, 1);
        put(&mut table, 2, 2);
        let view = table.view(SeqNo(2));
        for seqno in 3..600 {
            put(&mut table, 1, seqno);
        }
        assert_eq!(view.rows(), 2);
        assert_eq!(view.row_of(PointId::Number(1)), Some(0));
        assert_eq!(view.live_count(), 2);
        let later = table.view(SeqNo(599));
        assert_eq!(later.row_of(PointId::Number(1)), Some(598));
        assert_eq!(later.live_count(), 2);
        let ids: Vec<_> = later.ids_from(None).map(|(id, _)| id).collect();
        assert_eq!(ids, [PointId::Number(1), PointId::Number(2)]);
    }
}
