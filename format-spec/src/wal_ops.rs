#![doc = include_str!("../docs/03b-wal-ops.md")]
//!
//! # In this module
//! [`OpsRef::parse`] checks a body once, in full; the accessors of what it yields then cannot meet
//! bad bytes, copy nothing and allocate nothing. [`crate::wal_builder`] makes bodies.

use std::sync::Arc;

use crate::bytes::Reader;
use crate::error::{DecodeError, Why};
use crate::ids::PointId;
pub use crate::op_columns::{Ids, Payloads, VectorBlock};

/// Alignment of operations and of the arrays in them, from the start of the body.
pub const OPS_ALIGN: usize = 8;
/// Bytes before the first operation.
pub const OPS_HEADER_LEN: usize = 8;
/// Bytes of the header of an operation.
pub const OP_HEADER_LEN: usize = 16;
/// Bytes of the header of a vector block.
pub const VECTOR_HEADER_LEN: usize = 16;

pub(crate) mod tag {
    pub(crate) const UPSERT: u8 = 1;
    pub(crate) const DELETE: u8 = 2;
    pub(crate) const PATCH: u8 = 3;
    pub(crate) const IDS_NUMBER: u8 = 1;
    pub(crate) const IDS_UUID: u8 = 2;
    pub(crate) const IDS_MIXED: u8 = 3;
    pub(crate) const ALL_PRESENT: u8 = 1;
    pub(crate) const BITMAP: u8 = 2;
}

/// One operation: it has one SeqNo, whatever number of points it names.
#[derive(Copy, Clone, Debug)]
pub enum Op<'a> {
    /// Points as a whole, new or replaced.
    Upsert(Upsert<'a>),
    /// Points that go.
    Delete(Delete<'a>),
    /// New payloads of points that stay as they are otherwise.
    Patch(Patch<'a>),
}

impl<'a> Op<'a> {
    /// The ids it names, in their order; one may appear twice and its last place counts.
    #[must_use]
    pub const fn ids(&self) -> Ids<'a> {
        match self {
            Self::Upsert(op) => op.ids,
            Self::Delete(op) => op.ids,
            Self::Patch(op) => op.ids,
        }
    }
}

/// Points as a whole: ids, vectors by name, payloads.
#[derive(Copy, Clone, Debug)]
pub struct Upsert<'a> {
    ids: Ids<'a>,
    blocks: &'a [u8],
    block_count: u16,
    payloads: Payloads<'a>,
}

impl<'a> Upsert<'a> {
    /// Number of points.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it names no point.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids.
    #[must_use]
    pub const fn ids(&self) -> Ids<'a> {
        self.ids
    }

    /// The id of point `i`.
    ///
    /// # Panics
    /// When `i` is not below [`Self::len`].
    #[must_use]
    pub fn id(&self, i: usize) -> PointId {
        id_at(self.ids, i)
    }

    /// The vector blocks, by ascending index.
    pub fn vectors(&self) -> impl Iterator<Item = VectorBlock<'a>> + use<'a> {
        let count = self.len();
        let mut reader = Reader::new(self.blocks);
        // Checked by `parse`, so that the iterator ends at the last block and not before.
        (0..self.block_count)
            .map_while(move |_| VectorBlock::parse::<false>(&mut reader, count).ok())
    }

    /// The block of the vector at position `index` of the schema.
    #[must_use]
    pub fn block(&self, index: u16) -> Option<VectorBlock<'a>> {
        self.vectors().find(|block| block.index() == index)
    }

    /// The row of point `i` for the vector at position `index` of the schema.
    #[must_use]
    pub fn vector(&self, i: usize, index: u16) -> Option<&'a [u8]> {
        self.block(index)?.row(i)
    }

    /// The encoded payload of point `i`.
    ///
    /// # Panics
    /// When `i` is not below [`Self::len`].
    #[must_use]
    pub fn payload(&self, i: usize) -> &'a [u8] {
        payload_at(self.payloads, i)
    }

    fn parse<const CHECK: bool>(
        reader: &mut Reader<'a>,
        head: &OpHead,
    ) -> Result<Self, DecodeError> {
        let count = head.count();
        let ids = Ids::parse::<CHECK>(reader, head.id_form, count)?;
        let blocks = *reader;
        let mut last = None;
        for _ in 0..head.table {
            let at = reader.at();
            let block = VectorBlock::parse::<CHECK>(reader, count)?;
            if last.is_some_and(|last| block.index() <= last) {
                return Err(DecodeError::new(at, "vector index", Why::Order));
            }
            last = Some(block.index());
        }
        let len = blocks.rest().len() - reader.rest().len();
        let blocks = blocks.rest().get(..len).unwrap_or_default();
        let payloads = Payloads::parse::<CHECK>(reader, count)?;
        // `table` is at most 65535, checked by `OpHead::parse`.
        let block_count = u16::try_from(head.table).unwrap_or(u16::MAX);
        Ok(Self {
            ids,
            blocks,
            block_count,
            payloads,
        })
    }
}

/// Points that go.
#[derive(Copy, Clone, Debug)]
pub struct Delete<'a> {
    ids: Ids<'a>,
}

impl<'a> Delete<'a> {
    /// Number of points.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it names no point.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids.
    #[must_use]
    pub const fn ids(&self) -> Ids<'a> {
        self.ids
    }

    /// Id `i`.
    ///
    /// # Panics
    /// When `i` is not below [`Self::len`].
    #[must_use]
    pub fn id(&self, i: usize) -> PointId {
        id_at(self.ids, i)
    }
}

/// New payloads of points; one that many share is stored once.
#[derive(Copy, Clone, Debug)]
pub struct Patch<'a> {
    ids: Ids<'a>,
    entries: &'a [[u8; 4]],
    table: Payloads<'a>,
}

impl<'a> Patch<'a> {
    /// Number of points.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it names no point.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids.
    #[must_use]
    pub const fn ids(&self) -> Ids<'a> {
        self.ids
    }

    /// Id `i`.
    ///
    /// # Panics
    /// When `i` is not below [`Self::len`].
    #[must_use]
    pub fn id(&self, i: usize) -> PointId {
        id_at(self.ids, i)
    }

    /// The distinct payloads.
    #[must_use]
    pub const fn table(&self) -> Payloads<'a> {
        self.table
    }

    /// Which entry of [`Self::table`] is the payload of point `i`.
    ///
    /// # Panics
    /// When `i` is not below [`Self::len`].
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "an index out of range is the caller's mistake"
    )]
    pub fn entry(&self, i: usize) -> usize {
        u32::from_le_bytes(*self.entries.get(i).expect("index below len")) as usize
    }

    /// The encoded payload of point `i`.
    ///
    /// # Panics
    /// When `i` is not below [`Self::len`].
    #[must_use]
    pub fn payload(&self, i: usize) -> &'a [u8] {
        payload_at(self.table, self.entry(i))
    }

    fn parse<const CHECK: bool>(
        reader: &mut Reader<'a>,
        head: &OpHead,
    ) -> Result<Self, DecodeError> {
        let count = head.count();
        let ids = Ids::parse::<CHECK>(reader, head.id_form, count)?;
        let at = reader.at();
        let entries = reader.chunks::<4>(count, "payload entries")?;
        for (i, entry) in if CHECK { entries } else { &[] }.iter().enumerate() {
            let value = u32::from_le_bytes(*entry);
            if value >= head.table {
                let most = u64::from(head.table).saturating_sub(1);
                let why = Why::OutOfRange {
                    value: value.into(),
                    least: 0,
                    most,
                };
                return Err(DecodeError::new(at + 4 * i as u64, "payload entry", why));
            }
        }
        reader.pad_to(OPS_ALIGN as u64, "payload entries")?;
        let table = Payloads::parse::<CHECK>(reader, head.table as usize)?;
        Ok(Self {
            ids,
            entries,
            table,
        })
    }
}

#[expect(
    clippy::expect_used,
    reason = "an index out of range is the caller's mistake"
)]
fn id_at(ids: Ids<'_>, i: usize) -> PointId {
    ids.get(i).expect("index below len")
}

#[expect(
    clippy::expect_used,
    reason = "an index out of range is the caller's mistake"
)]
fn payload_at(payloads: Payloads<'_>, i: usize) -> &[u8] {
    payloads.get(i).expect("index below len")
}

struct OpHead {
    kind: u8,
    id_form: u8,
    points: u32,
    table: u32,
    len: u32,
}

impl OpHead {
    const fn count(&self) -> usize {
        self.points as usize
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [kind, id_form] = reader.array("operation kind")?;
        reader.zeros(2, "operation header")?;
        let points = reader.u32("point count")?;
        let at = reader.at();
        let table = reader.u32("table count")?;
        let most = match kind {
            tag::UPSERT => u32::from(u16::MAX),
            tag::DELETE => 0,
            _ => u32::MAX,
        };
        if table > most {
            let why = Why::OutOfRange {
                value: table.into(),
                least: 0,
                most: most.into(),
            };
            return Err(DecodeError::new(at, "table count", why));
        }
        let len = reader.u32("operation length")?;
        Ok(Self {
            kind,
            id_form,
            points,
            table,
            len,
        })
    }
}

fn parse_op<'a, const CHECK: bool>(reader: &mut Reader<'a>) -> Result<Op<'a>, DecodeError> {
    let start = reader.at();
    let head = OpHead::parse(reader)?;
    let body_len = u64::from(head.len).checked_sub(OP_HEADER_LEN as u64);
    let Some(body_len) = body_len.filter(|len| len.is_multiple_of(OPS_ALIGN as u64)) else {
        let (least, most) = (OP_HEADER_LEN as u64, u32::MAX.into());
        let why = Why::OutOfRange {
            value: head.len.into(),
            least,
            most,
        };
        return Err(DecodeError::new(start, "operation length", why));
    };
    let at = reader.at();
    let mut body = Reader::starting_at(reader.take_u64(body_len, "operation")?, at);
    let op = match head.kind {
        tag::UPSERT => Op::Upsert(Upsert::parse::<CHECK>(&mut body, &head)?),
        tag::DELETE => Op::Delete(Delete {
            ids: Ids::parse::<CHECK>(&mut body, head.id_form, head.count())?,
        }),
        tag::PATCH => Op::Patch(Patch::parse::<CHECK>(&mut body, &head)?),
        other => {
            let why = Why::Kind {
                found: other.into(),
            };
            return Err(DecodeError::new(start, "operation kind", why));
        }
    };
    body.finish("operation")?;
    Ok(op)
}

/// The operations of a body, checked.
#[derive(Copy, Clone, Debug)]
pub struct OpsRef<'a> {
    bytes: &'a [u8],
    ops: &'a [u8],
    count: u32,
}

impl<'a> OpsRef<'a> {
    /// Checks exactly these bytes, payloads included.
    ///
    /// # Errors
    /// Anything the chapter does not allow.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let count = reader.u32("operation count")?;
        reader.zeros(4, "operations header")?;
        let ops = reader.rest();
        for _ in 0..count {
            parse_op::<true>(&mut reader)?;
        }
        reader.finish("operations")?;
        Ok(Self { bytes, ops, count })
    }

    /// Bytes that were checked before, or were built here.
    fn trusted(bytes: &'a [u8]) -> Self {
        let mut reader = Reader::new(bytes);
        let count = reader.u32("operation count").unwrap_or(0);
        Self {
            bytes,
            ops: bytes.get(OPS_HEADER_LEN..).unwrap_or_default(),
            count,
        }
    }

    /// Number of operations.
    #[must_use]
    pub const fn len(self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The body.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The operations, in the order of their SeqNos.
    pub fn iter(self) -> impl Iterator<Item = Op<'a>> + use<'a> {
        let mut reader = Reader::new(self.ops);
        // Checked by `parse`, so that the iterator ends at the last operation and not before.
        (0..self.count).map_while(move |_| parse_op::<false>(&mut reader).ok())
    }
}

/// An owned body that was checked once; clones share the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpsBuf(Arc<[u8]>);

impl OpsBuf {
    /// Checks the bytes and keeps them.
    ///
    /// # Errors
    /// As [`OpsRef::parse`].
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Result<Self, DecodeError> {
        let bytes = bytes.into();
        OpsRef::parse(&bytes)?;
        Ok(Self(bytes))
    }

    /// What the builder made.
    pub(crate) fn built(bytes: Vec<u8>) -> Self {
        debug_assert!(
            OpsRef::parse(&bytes).is_ok(),
            "the builder writes what the parser reads"
        );
        Self(bytes.into())
    }

    /// The body.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<[u8]> {
        Arc::clone(&self.0)
    }

    /// The operations.
    #[must_use]
    pub fn ops(&self) -> OpsRef<'_> {
        OpsRef::trusted(&self.0)
    }
}
