#![doc = include_str!("../docs/03b-wal-ops.md")]
//!
//! # In this module
//! [`OpsRef::parse`] checks a body once, in full; the accessors of what it yields then cannot meet
//! bad bytes, copy nothing and allocate nothing. [`crate::wal_builder`] makes bodies.

use std::sync::Arc;

use crate::bytes::Reader;
use crate::error::{DecodeError, Why};
use crate::ids::{PointId, uuid_from_bytes};
use crate::value;

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

/// Point ids as a column.
#[derive(Copy, Clone, Debug)]
pub struct Ids<'a>(IdColumn<'a>);

#[derive(Copy, Clone, Debug)]
enum IdColumn<'a> {
    Numbers(&'a [[u8; 8]]),
    Uuids(&'a [[u8; 16]]),
    Mixed(&'a [u8], &'a [[u8; 16]]),
}

impl<'a> Ids<'a> {
    /// How many.
    #[must_use]
    pub const fn len(self) -> usize {
        match self.0 {
            IdColumn::Numbers(ids) => ids.len(),
            IdColumn::Uuids(ids) => ids.len(),
            IdColumn::Mixed(tags, _) => tags.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Number `i`.
    #[must_use]
    pub fn get(self, i: usize) -> Option<PointId> {
        match self.0 {
            IdColumn::Numbers(ids) => ids
                .get(i)
                .map(|id| PointId::Number(u64::from_le_bytes(*id))),
            IdColumn::Uuids(ids) => ids.get(i).map(|id| PointId::Uuid(uuid_from_bytes(*id))),
            IdColumn::Mixed(tags, ids) => mixed_id(*tags.get(i)?, ids.get(i)?),
        }
    }

    /// All, in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = PointId> + 'a {
        // `get` is `Some` below `len`; the default is never taken.
        (0..self.len()).map(move |i| self.get(i).unwrap_or(PointId::Number(0)))
    }

    fn parse<const CHECK: bool>(
        reader: &mut Reader<'a>,
        form: u8,
        count: usize,
    ) -> Result<Self, DecodeError> {
        let column = match form {
            tag::IDS_NUMBER => IdColumn::Numbers(reader.chunks(count, "ids")?),
            tag::IDS_UUID => IdColumn::Uuids(reader.chunks(count, "ids")?),
            tag::IDS_MIXED => {
                let tags = reader.take(count, "id tags")?;
                reader.pad_to(OPS_ALIGN as u64, "id tags")?;
                let at = reader.at();
                let ids = reader.chunks(count, "ids")?;
                let bad = |(tag, id): (&u8, &[u8; 16])| mixed_id(*tag, id).is_none();
                let bad = if CHECK {
                    tags.iter().zip(ids).position(bad)
                } else {
                    None
                };
                if let Some(i) = bad {
                    let found = tags.get(i).copied().unwrap_or_default().into();
                    return Err(DecodeError::new(
                        at + 16 * i as u64,
                        "id",
                        Why::Kind { found },
                    ));
                }
                IdColumn::Mixed(tags, ids)
            }
            other => {
                return Err(reader.error(
                    "id form",
                    Why::Kind {
                        found: other.into(),
                    },
                ));
            }
        };
        Ok(Self(column))
    }
}

/// A number stands in the first 8 bytes and leaves the others zero.
fn mixed_id(tag: u8, bytes: &[u8; 16]) -> Option<PointId> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    match tag {
        tag::IDS_NUMBER if rest.iter().all(|&byte| byte == 0) => {
            Some(PointId::Number(u64::from_le_bytes(*number)))
        }
        tag::IDS_UUID => Some(PointId::Uuid(uuid_from_bytes(*bytes))),
        _ => None,
    }
}

/// Byte strings one after the other, with `len + 1` ascending offsets in front.
#[derive(Copy, Clone, Debug)]
pub struct Payloads<'a> {
    offsets: &'a [[u8; 4]],
    bytes: &'a [u8],
}

impl<'a> Payloads<'a> {
    /// How many.
    #[must_use]
    pub const fn len(self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Number `i`: an encoded object.
    #[must_use]
    pub fn get(self, i: usize) -> Option<&'a [u8]> {
        let [from, to] = self
            .offsets
            .get(i..)?
            .first_chunk::<2>()?
            .map(u32::from_le_bytes);
        self.bytes
            .get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
    }

    fn parse<const CHECK: bool>(
        reader: &mut Reader<'a>,
        count: usize,
    ) -> Result<Self, DecodeError> {
        let at = reader.at();
        let offsets = reader.chunks::<4>(count.saturating_add(1), "payload offsets")?;
        if CHECK {
            let mut last = 0;
            for (i, offset) in offsets.iter().enumerate() {
                let offset = u32::from_le_bytes(*offset);
                if offset < last || (i == 0 && offset != 0) {
                    let at = at + 4 * i as u64;
                    return Err(DecodeError::new(at, "payload offsets", Why::Order));
                }
                last = offset;
            }
        }
        let last = offsets
            .last()
            .map_or(0, |offset| u32::from_le_bytes(*offset));
        reader.pad_to(OPS_ALIGN as u64, "payload offsets")?;
        let base = reader.at();
        let bytes = reader.take_u64(last.into(), "payloads")?;
        reader.pad_to(OPS_ALIGN as u64, "payloads")?;
        let payloads = Self { offsets, bytes };
        let mut start = base;
        for i in 0..if CHECK { count } else { 0 } {
            let payload = payloads.get(i).unwrap_or_default();
            check_payload(payload).map_err(|error| error.shifted(start))?;
            start += payload.len() as u64;
        }
        Ok(payloads)
    }
}

fn check_payload(bytes: &[u8]) -> Result<(), DecodeError> {
    value::validate(bytes)?;
    if value::is_object(bytes) {
        return Ok(());
    }
    let found = bytes.first().copied().unwrap_or_default().into();
    Err(DecodeError::new(0, "payload", Why::Kind { found }))
}

/// The rows of one vector of the points of an upsert.
#[derive(Copy, Clone, Debug)]
pub struct VectorBlock<'a> {
    index: u16,
    stride: usize,
    count: usize,
    /// Empty when every point has the vector.
    bitmap: &'a [[u8; 8]],
    ranks: &'a [[u8; 4]],
    rows: &'a [u8],
}

impl<'a> VectorBlock<'a> {
    /// Position of the vector in the schema.
    #[must_use]
    pub const fn index(&self) -> u16 {
        self.index
    }

    /// Bytes of one row.
    #[must_use]
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// How many points have the vector.
    #[must_use]
    pub const fn present(&self) -> usize {
        match self.rows.len().checked_div(self.stride) {
            Some(present) => present,
            None => 0,
        }
    }

    /// Whether every point of the upsert has the vector: row `i` is then that of point `i`.
    #[must_use]
    pub const fn all_present(&self) -> bool {
        self.bitmap.is_empty()
    }

    /// The rows of the points that have the vector, one after the other.
    #[must_use]
    pub const fn rows(&self) -> &'a [u8] {
        self.rows
    }

    /// The row of point `i`, if it has one.
    #[must_use]
    pub fn row(&self, i: usize) -> Option<&'a [u8]> {
        let rank = if self.bitmap.is_empty() {
            i
        } else {
            self.rank(i)?
        };
        let start = rank.checked_mul(self.stride)?;
        self.rows.get(start..start.checked_add(self.stride)?)
    }

    /// How many points before `i` have the vector; `None` when `i` has not.
    fn rank(&self, i: usize) -> Option<usize> {
        if i >= self.count {
            return None;
        }
        let word = u64::from_le_bytes(*self.bitmap.get(i / 64)?);
        let bit = 1_u64 << (i % 64);
        if word & bit == 0 {
            return None;
        }
        let before = u32::from_le_bytes(*self.ranks.get(i / 64)?);
        usize::try_from(before + (word & (bit - 1)).count_ones()).ok()
    }

    fn parse<const CHECK: bool>(
        reader: &mut Reader<'a>,
        count: usize,
    ) -> Result<Self, DecodeError> {
        let index = reader.u16("vector index")?;
        let at = reader.at();
        let presence = reader.u8("vector presence")?;
        reader.zeros(1, "vector header")?;
        let stride_at = reader.at();
        let stride = reader.u32("vector stride")?;
        let present_at = reader.at();
        let present = reader.u32("vectors present")?;
        reader.zeros(4, "vector header")?;
        if stride == 0 {
            let why = Why::OutOfRange {
                value: 0,
                least: 1,
                most: u32::MAX.into(),
            };
            return Err(DecodeError::new(stride_at, "vector stride", why));
        }
        let (bitmap, ranks, expected) = match presence {
            tag::ALL_PRESENT => (&[][..], &[][..], count),
            tag::BITMAP => parse_presence::<CHECK>(reader, count)?,
            other => {
                let why = Why::Kind {
                    found: other.into(),
                };
                return Err(DecodeError::new(at, "vector presence", why));
            }
        };
        if CHECK && present as usize != expected {
            let (value, expected) = (present.into(), expected as u64);
            let why = Why::OutOfRange {
                value,
                least: expected,
                most: expected,
            };
            return Err(DecodeError::new(present_at, "vectors present", why));
        }
        let rows = reader.take_u64(u64::from(present) * u64::from(stride), "vector rows")?;
        reader.pad_to(OPS_ALIGN as u64, "vector rows")?;
        Ok(Self {
            index,
            stride: stride as usize,
            count,
            bitmap,
            ranks,
            rows,
        })
    }
}

type Presence<'a> = (&'a [[u8; 8]], &'a [[u8; 4]], usize);

/// Bitmap, ranks, and the number of bits set; the last is 0 when it is not checked.
fn parse_presence<'a, const CHECK: bool>(
    reader: &mut Reader<'a>,
    count: usize,
) -> Result<Presence<'a>, DecodeError> {
    let words = count.div_ceil(64);
    let at = reader.at();
    let bitmap = reader.chunks::<8>(words, "presence bitmap")?;
    let ranks_at = reader.at();
    let ranks = reader.chunks::<4>(words, "presence ranks")?;
    reader.pad_to(OPS_ALIGN as u64, "presence ranks")?;
    let mut total = 0_u32;
    if !CHECK {
        return Ok((bitmap, ranks, 0));
    }
    for (i, (word, rank)) in bitmap.iter().zip(ranks).enumerate() {
        if u32::from_le_bytes(*rank) != total {
            return Err(DecodeError::new(
                ranks_at + 4 * i as u64,
                "presence ranks",
                Why::Order,
            ));
        }
        total += u64::from_le_bytes(*word).count_ones();
    }
    let last = bitmap.last().map_or(0, |word| u64::from_le_bytes(*word));
    if !count.is_multiple_of(64) && last >> (count % 64) != 0 {
        let last_at = at + 8 * words.saturating_sub(1) as u64;
        return Err(DecodeError::new(last_at, "presence bitmap", Why::NotZero));
    }
    // One that hides nothing is written without a bitmap, so that equal upserts have equal bytes.
    if total as usize == count {
        return Err(DecodeError::new(at, "presence bitmap", Why::Order));
    }
    Ok((bitmap, ranks, total as usize))
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
        self.vectors().find(|block| block.index == index)
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
            if last.is_some_and(|last| block.index <= last) {
                return Err(DecodeError::new(at, "vector index", Why::Order));
            }
            last = Some(block.index);
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
