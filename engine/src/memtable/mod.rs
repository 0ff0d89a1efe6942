//! Memtable: the rows that are not yet in a segment.
//!
//! ```text
//! map     (PointId, SeqNo descending) -> Row          insert only, dropped whole
//! blocks  Row -> id, born, dead_at, vectors, payload  the last block is copied on write
//! codes   of the vectors of full blocks               in the background
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
pub(crate) mod codes;
mod held;

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_skiplist::SkipMap;
use format_spec::{PointId, Row, Schema, SeqNo};
use quant::{BLOCK_ROWS, BlockBuilder, CodeBits, CodeMetric, CodeSpace};

use crate::derived::{DerivedColumns, DerivedRoom};
use block::Block;
use codes::{Coding, Codings, Encoded};
use held::HeldRows;
pub(crate) use held::IndexKey;

/// Estimated bytes of a map node and of the fixed columns of a row.
const ROW_OVERHEAD_BYTES: u64 = 160;

/// What all views of one memtable share.
#[derive(Debug)]
pub(crate) struct Shared {
    map: SkipMap<(PointId, Reverse<SeqNo>), Row>,
    bytes: AtomicU64,
    block_rows: u32,
    codings: Codings,
    held: HeldRows,
    /// Columns that queries make of the payloads, none where there is no room for them.
    derived: Option<Arc<DerivedColumns>>,
    /// Whether its rows have gone to a segment.
    gone: AtomicBool,
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
    /// Blocks that were given out to be encoded.
    handed: usize,
}

/// Full blocks of a memtable that are to get codes.
#[derive(Debug)]
pub(crate) struct EncodeJob {
    shared: Arc<Shared>,
    blocks: Vec<Arc<Block>>,
}

impl EncodeJob {
    /// Encodes those that somebody still reads.
    pub(crate) fn run(self) {
        for block in self.blocks {
            if Arc::strong_count(&block) > 1 {
                self.shared.encode(&block);
            }
        }
    }
}

impl Memtable {
    /// An empty memtable for points of this schema, without room for derived columns.
    #[cfg(test)]
    pub(crate) fn of(schema: &Schema) -> Self {
        Self::of_schema(schema, None)
    }

    /// An empty memtable for points of this schema.
    pub(crate) fn with_room(schema: &Schema, room: &Arc<DerivedRoom>) -> Self {
        Self::of_schema(schema, Some(room))
    }

    fn of_schema(schema: &Schema, room: Option<&Arc<DerivedRoom>>) -> Self {
        let vectors = schema.vectors.iter();
        let strides = vectors.clone().map(format_spec::VectorSchema::stride);
        Self::new(strides.collect(), vectors.map(Coding::of).collect(), room)
    }

    /// An empty memtable for vectors of the given strides in bytes, in schema order.
    fn new(
        strides: Vec<usize>,
        codings: Vec<Option<Coding>>,
        room: Option<&Arc<DerivedRoom>>,
    ) -> Self {
        let block_rows = block::rows_for(strides.iter().sum());
        let shared = Shared {
            map: SkipMap::new(),
            bytes: AtomicU64::new(0),
            block_rows: block_rows as u32,
            codings: Codings::new(codings, block_rows),
            held: HeldRows::default(),
            derived: room.map(|room| Arc::new(DerivedColumns::new(room))),
            gone: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            blocks: Vec::new(),
            absent: vec![0; strides.len()],
            strides,
            rows: 0,
            alive: 0,
            handed: 0,
        }
    }

    /// What is to be encoded now, if there are vectors of `least` bytes in all.
    pub(crate) fn due_for_codes(&mut self, least: u64) -> Option<EncodeJob> {
        let row = self.strides.iter().sum::<usize>() as u64;
        if u64::from(self.rows) * row < least {
            return None;
        }
        let blocks = self.shared.codings.due(&self.blocks, self.handed)?;
        self.handed += blocks.len();
        Some(EncodeJob {
            shared: Arc::clone(&self.shared),
            blocks,
        })
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

impl Drop for Memtable {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn encode(&self, block: &Block) {
        let bytes = self.codings.encode(block) as u64;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

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

    /// Whether its rows have gone to a segment.
    pub(crate) fn is_gone(&self) -> bool {
        self.shared.gone.load(Ordering::Relaxed)
    }

    /// The columns that queries make of the payloads; later rows than a column has may follow.
    pub(crate) fn derived(&self) -> Option<&Arc<DerivedColumns>> {
        self.shared.derived.as_ref()
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

    /// The codes of the vectors `index`, of the blocks that have them now.
    pub(crate) fn codes(&self, index: usize) -> Option<MemtableCodes<'_>> {
        let (coding, space) = self.shared.codings.get(index)?;
        let cells = self.blocks.iter().map(|block| block.codes(index));
        Some(MemtableCodes {
            blocks: cells.map(|cell| cell?.get().map(Arc::as_ref)).collect(),
            block_rows: self.shared.block_rows,
            coding,
            space,
        })
    }

    /// Whether at least half of the rows have codes of the vectors `index`: the padded dimension.
    pub(crate) fn code_shape(&self, index: usize) -> Option<(usize, CodeBits)> {
        let (coding, space) = self.shared.codings.get(index)?;
        // Blocks are encoded about in their order.
        let middle = self.blocks.get(self.blocks.len() / 2)?;
        let shape = (space.padded(), coding.bits);
        middle.codes(index)?.get().map(|_| shape)
    }

    /// How the vectors `index` are encoded, once they are.
    pub(crate) fn coding(&self, index: usize) -> Option<(&Coding, &CodeSpace)> {
        self.shared.codings.get(index)
    }

    /// Blocks, the last of which may not be full.
    pub(crate) fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// The codes of the vectors `index` of one block, made now if they are not there.
    pub(crate) fn encoded(&self, index: usize, block: usize) -> Option<Arc<Encoded>> {
        let (coding, space) = self.shared.codings.get(index)?;
        let block = self.blocks.get(block)?;
        let Some(cell) = block.codes(index) else {
            return Some(Arc::new(coding.encode(space, block.vectors_of(index))));
        };
        self.shared.encode(block);
        cell.get().map(Arc::clone)
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

/// The codes of a memtable's vectors of one name, as far as they were made when this was.
#[derive(Debug)]
pub(crate) struct MemtableCodes<'a> {
    blocks: Vec<Option<&'a Encoded>>,
    block_rows: u32,
    coding: &'a Coding,
    space: &'a CodeSpace,
}

impl<'a> MemtableCodes<'a> {
    pub(crate) fn space(&self) -> &'a CodeSpace {
        self.space
    }

    pub(crate) fn metric(&self) -> CodeMetric {
        self.coding.metric()
    }

    pub(crate) fn bits(&self) -> CodeBits {
        self.coding.bits()
    }

    /// The rows of each block that has no codes.
    pub(crate) fn without(&self) -> impl Iterator<Item = std::ops::Range<Row>> + '_ {
        let blocks = self.blocks.iter().zip(0..);
        let without = blocks.filter(|(codes, _)| codes.is_none());
        without.map(|(_, number)| {
            let first: Row = number * self.block_rows;
            first..first + self.block_rows
        })
    }

    /// The codes of the block that `row` is in, and its place there.
    fn place(&self, row: Row) -> Option<(&'a Encoded, usize)> {
        let block = (row / self.block_rows) as usize;
        let encoded = (*self.blocks.get(block)?)?;
        Some((encoded, (row % self.block_rows) as usize))
    }

    /// The one-bit codes of the 32 rows from `block * 32` on; empty if they are not made.
    pub(crate) fn block(&self, block: u32) -> &'a [u8] {
        let row = block.saturating_mul(BLOCK_ROWS as u32);
        let len = BlockBuilder::block_len(self.space.padded());
        let found = self.place(row).and_then(|(encoded, at)| {
            let start = at / BLOCK_ROWS * len;
            encoded.blocks.get(start..start + len)
        });
        found.unwrap_or(&[])
    }

    /// The code of several bits of `row`; empty if it is not made.
    pub(crate) fn row(&self, row: Row) -> &'a [u8] {
        let len = self.bits().row_len(self.space.padded());
        let found = self.place(row);
        let found = found.and_then(|(encoded, at)| encoded.rows.get(at * len..(at + 1) * len));
        found.unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use format_spec::{HnswSettings, VectorSchema};

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
        let mut table = Memtable::new(vec![4], vec![None], None);
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

    /// A description of a collection may be asked for many times a second.
    #[test]
    fn an_index_asks_each_payload_once() {
        let mut table = Memtable::new(vec![4], vec![None], None);
        let asked = std::cell::Cell::new(0);
        let key = ("a".to_owned(), 0, 0);
        let count = |view: &MemtableView, key| {
            let holds = |payload: &[u8]| {
                asked.set(asked.get() + 1);
                Ok(payload == b"p")
            };
            view.count_held(key, holds).unwrap()
        };
        for id in 0..100 {
            put(&mut table, id, id + 1);
        }
        table.insert(PointId::Number(500), SeqNo(101), |_| None, b"q");
        let before = table.view(SeqNo(101));
        assert_eq!((count(&before, &key), asked.get()), (100, 101));
        put(&mut table, 7, 102);
        put(&mut table, 100, 103);
        let after = table.view(SeqNo(103));
        assert_eq!((count(&after, &key), asked.get()), (101, 103));
        assert_eq!((count(&before, &key), asked.get()), (100, 103));
        assert_eq!(count(&after, &("b".to_owned(), 0, 0)), 101);
        assert_eq!(asked.get(), 206);
    }

    #[test]
    fn full_blocks_get_codes_and_the_rest_gets_them_for_a_flush() {
        let vector = VectorSchema {
            name: String::new(),
            dim: 64,
            metric: format_spec::Metric::Cosine,
            element: format_spec::Element::F32,
            hnsw: HnswSettings::default(),
            codec: format_spec::Codec::Auto,
        };
        let (stride, coding) = (vector.stride(), Coding::of(&vector));
        let schema = Schema {
            vectors: vec![vector],
            ..Schema::default()
        };
        let mut table = Memtable::of(&schema);
        let block_rows = table.shared.block_rows;
        let rows = 5 * block_rows + 7;
        let row = |n: u32| -> Vec<u8> {
            let floats = (0..64_u32).map(|at| ((n * 31 + at * 17) % 97) as f32 / 97.0 - 0.4);
            floats.flat_map(f32::to_le_bytes).collect()
        };
        assert!(table.view(SeqNo(0)).codes(0).is_none());
        for n in 0..rows {
            let bytes = row(n);
            // One row has no vector.
            let vector = |_| (n != 3).then_some(&bytes[..]);
            let id = PointId::Number(n.into());
            table.insert(id, SeqNo(u64::from(n) + 1), vector, b"p");
        }
        let before = table.bytes();
        assert!(table.due_for_codes(u64::MAX).is_none());
        let older = table.view(SeqNo(u64::from(rows)));
        table.due_for_codes((stride * 100) as u64).unwrap().run();
        assert!(table.bytes() > before && table.due_for_codes(0).is_none());

        let view = table.view(SeqNo(u64::from(rows)));
        let codes = view.codes(0).unwrap();
        assert!(codes.without().flatten().eq(5 * block_rows..6 * block_rows));
        let shape = (codes.space().padded(), codes.bits());
        assert_eq!(view.code_shape(0), Some(shape));
        let all = (0..rows).map(|n| view.vector(0, n)).collect::<Vec<_>>();
        let expected = coding.unwrap().encode(codes.space(), all.into_iter());
        let (len, block_len) = (
            codes.bits().row_len(codes.space().padded()),
            BlockBuilder::block_len(codes.space().padded()),
        );
        for n in 0..5 * block_rows {
            let at = n as usize;
            assert_eq!(codes.row(n), &expected.rows[at * len..(at + 1) * len]);
            let block = at / BLOCK_ROWS;
            let expected = &expected.blocks[block * block_len..(block + 1) * block_len];
            assert_eq!(codes.block(block as u32), expected);
        }
        assert!(codes.row(5 * block_rows).is_empty());
        assert!(codes.block(u32::MAX).is_empty());
        // A reader of the state before sees them too.
        assert_eq!(older.codes(0).unwrap().row(0), codes.row(0));

        let encoded: Vec<_> = (0..view.block_count())
            .map(|block| view.encoded(0, block).unwrap())
            .collect();
        let rows: Vec<u8> = encoded.iter().flat_map(|e| e.rows.clone()).collect();
        let blocks: Vec<u8> = encoded.iter().flat_map(|e| e.blocks.clone()).collect();
        assert!(rows == expected.rows && blocks == expected.blocks);
    }
}
