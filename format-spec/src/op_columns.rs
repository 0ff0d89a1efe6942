//! The columns of an operation: ids, payloads, vectors. Chapter 3b has the layout.
//!
//! # Invariants
//! - `parse::<true>` checks everything the chapter asks for; `parse::<false>` is for bytes that
//!   were checked before and looks only at lengths. Neither reads past its bytes.
//! - Nothing here copies or allocates.

use crate::bytes::Reader;
use crate::error::{DecodeError, Why};
use crate::ids::{PointId, uuid_from_bytes};
use crate::value;
use crate::wal_ops::{OPS_ALIGN, tag};

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

    pub(crate) fn parse<const CHECK: bool>(
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

    pub(crate) fn parse<const CHECK: bool>(
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

    pub(crate) fn parse<const CHECK: bool>(
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
