//! Makes the bodies that [`crate::wal_ops`] reads.
//!
//! Vectors come in as they stand in memory, a column a name, and are copied once: no work and no
//! allocation a point.
//!
//! # Invariants
//! - A failed call leaves the builder as it was.
//! - What it makes, `OpsRef::parse` accepts.

use std::fmt;

use crate::bytes::{put_padding, put_u16, put_u32, put_u64};
use crate::error::DecodeError;
use crate::ids::{PointId, uuid_bytes};
use crate::value::{self, Value};
use crate::wal::MAX_BODY_LEN;
use crate::wal_ops::{OP_HEADER_LEN, OPS_ALIGN, OPS_HEADER_LEN, OpsBuf, tag};

/// Why an operation cannot be written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum OpsError {
    /// The body would grow beyond what a record holds: write what there is, or a run.
    Full {
        /// Bytes the body would have.
        bytes: u64,
        /// Bytes it may have.
        most: u64,
    },
    /// Two columns of one operation have different lengths.
    Length {
        /// Which one.
        column: &'static str,
        /// What it should have.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// Vector columns are not in ascending order of their index.
    VectorOrder {
        /// The first one out of order.
        index: u16,
    },
    /// A payload is not an encoded object.
    Payload(DecodeError),
    /// A point names a payload that is not in the table.
    Entry {
        /// What it names.
        entry: u32,
        /// Payloads in the table.
        table: u64,
    },
}

impl fmt::Display for OpsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Full { bytes, most } => {
                write!(
                    f,
                    "operations of {bytes} bytes do not fit one record of {most}"
                )
            }
            Self::Length {
                column,
                expected,
                found,
            } => {
                write!(f, "column {column}: expected {expected}, found {found}")
            }
            Self::VectorOrder { index } => write!(f, "vector {index} is out of order or twice"),
            Self::Payload(error) => write!(f, "payload: {error}"),
            Self::Entry { entry, table } => {
                write!(f, "payload entry {entry} in a table of {table}")
            }
        }
    }
}

impl std::error::Error for OpsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Payload(error) => Some(error),
            Self::Full { .. }
            | Self::Length { .. }
            | Self::VectorOrder { .. }
            | Self::Entry { .. } => None,
        }
    }
}

/// Encoded payloads, one after the other.
#[derive(Clone, Debug, Default)]
pub struct PayloadTable {
    /// Where each one ends in `bytes`.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl PayloadTable {
    /// Without any payload.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all of them.
    #[must_use]
    pub const fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds an encoded object and returns its entry.
    ///
    /// # Errors
    /// [`OpsError::Payload`] when it is not one, [`OpsError::Full`].
    pub fn push(&mut self, payload: &[u8]) -> Result<u32, OpsError> {
        value::validate(payload).map_err(OpsError::Payload)?;
        self.push_with(|bytes| bytes.extend_from_slice(payload))
    }

    /// Encodes an object straight into the table and returns its entry.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_value(&mut self, payload: &Value) -> Result<u32, OpsError> {
        self.push_with(|bytes| payload.encode(bytes))
    }

    /// Payload of an entry.
    #[must_use]
    pub fn get(&self, entry: usize) -> Option<&[u8]> {
        let start = match entry.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)? as usize,
        };
        self.bytes.get(start..*self.ends.get(entry)? as usize)
    }

    fn push_with(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Result<u32, OpsError> {
        let start = self.bytes.len();
        put(&mut self.bytes);
        let checked = self.check_last(start);
        match checked {
            Ok(end) => self.ends.push(end),
            Err(error) => {
                self.bytes.truncate(start);
                return Err(error);
            }
        }
        // Each payload has at least one byte, so there are fewer than bytes.
        Ok(u32::try_from(self.ends.len() - 1).unwrap_or(u32::MAX))
    }

    fn check_last(&self, start: usize) -> Result<u32, OpsError> {
        let added = self.bytes.get(start..).unwrap_or_default();
        if !value::is_object(added) {
            let found = added.first().copied().unwrap_or_default().into();
            let why = crate::error::Why::Kind { found };
            return Err(OpsError::Payload(DecodeError::new(0, "payload", why)));
        }
        u32::try_from(self.bytes.len())
            .ok()
            .filter(|&end| end <= MAX_BODY_LEN)
            .ok_or(full(self.bytes.len()))
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_u32(out, 0);
        for end in &self.ends {
            put_u32(out, *end);
        }
        put_padding(out, OPS_ALIGN);
        out.extend_from_slice(&self.bytes);
        put_padding(out, OPS_ALIGN);
    }
}

/// The rows of one vector name of the points of an upsert.
#[derive(Copy, Clone, Debug)]
pub struct VectorColumn<'a> {
    /// Position of the vector in the schema.
    pub index: u16,
    /// Bytes of a row.
    pub stride: u32,
    /// Bit `i % 64` of word `i / 64` says that point `i` has the vector; `None` = all have it.
    pub presence: Option<&'a [u64]>,
    /// The rows of the points that have it, in order, without gaps.
    pub rows: &'a [u8],
}

/// Points as a whole, a column each.
#[derive(Copy, Clone, Debug)]
pub struct UpsertColumns<'a> {
    /// The ids.
    pub ids: &'a [PointId],
    /// Vectors by ascending index.
    pub vectors: &'a [VectorColumn<'a>],
    /// One payload a point, in order.
    pub payloads: &'a PayloadTable,
}

/// Collects operations into one body.
#[derive(Clone, Debug)]
pub struct OpsBuilder {
    out: Vec<u8>,
    count: u32,
    most: usize,
}

impl Default for OpsBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl OpsBuilder {
    /// Without any operation.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(MAX_BODY_LEN)
    }

    /// Refuses operations that make the body larger than `most` bytes.
    #[must_use]
    pub fn with_limit(most: u32) -> Self {
        Self {
            out: vec![0; OPS_HEADER_LEN],
            count: 0,
            most: most.min(MAX_BODY_LEN) as usize,
        }
    }

    /// Number of operations.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the body so far.
    #[must_use]
    pub const fn body_len(&self) -> usize {
        self.out.len()
    }

    /// Adds points as a whole.
    ///
    /// # Errors
    /// Columns that do not fit together, or a body that would be too large.
    pub fn upsert(&mut self, points: &UpsertColumns<'_>) -> Result<(), OpsError> {
        let count = points.ids.len();
        same_length("payloads", count, points.payloads.len())?;
        let mut last = None;
        for vector in points.vectors {
            if last.is_some_and(|last| vector.index <= last) {
                return Err(OpsError::VectorOrder {
                    index: vector.index,
                });
            }
            last = Some(vector.index);
            let present = check_presence(vector, count)?;
            let expected = (present as u64).saturating_mul(vector.stride.into());
            if vector.rows.len() as u64 != expected || vector.stride == 0 {
                let found = vector.rows.len() as u64;
                return Err(OpsError::Length {
                    column: "vector rows",
                    expected,
                    found,
                });
            }
        }
        let rows: usize = points.vectors.iter().map(|vector| vector.rows.len()).sum();
        // Presence takes 12 bytes for 64 points; a header, ranks and padding at most 40 a vector.
        let presence = points.vectors.len() * (40 + count.div_ceil(64) * 12);
        self.reserve(points.ids, rows + presence + table_len(points.payloads))?;
        // A vector index is 16 bits and ascending: at most 65536, and the last is refused below.
        let table = u16::try_from(points.vectors.len()).unwrap_or(u16::MAX);
        self.op(tag::UPSERT, points.ids, table.into(), |out| {
            for vector in points.vectors {
                put_vector(out, vector, count);
            }
            points.payloads.put(out);
        });
        Ok(())
    }

    /// Adds the removal of points.
    ///
    /// # Errors
    /// A body that would be too large.
    pub fn delete(&mut self, ids: &[PointId]) -> Result<(), OpsError> {
        self.reserve(ids, 0)?;
        self.op(tag::DELETE, ids, 0, |_| {});
        Ok(())
    }

    /// Adds new payloads: point `i` gets entry `entries[i]` of the table.
    ///
    /// # Errors
    /// Columns that do not fit together, or a body that would be too large.
    pub fn patch(
        &mut self,
        ids: &[PointId],
        entries: &[u32],
        table: &PayloadTable,
    ) -> Result<(), OpsError> {
        same_length("payload entries", ids.len(), entries.len())?;
        if let Some(&entry) = entries.iter().find(|&&entry| entry as usize >= table.len()) {
            return Err(OpsError::Entry {
                entry,
                table: table.len() as u64,
            });
        }
        self.reserve(ids, 4 * entries.len() + OPS_ALIGN + table_len(table))?;
        let count = u32::try_from(table.len()).unwrap_or(u32::MAX);
        self.op(tag::PATCH, ids, count, |out| {
            for entry in entries {
                put_u32(out, *entry);
            }
            put_padding(out, OPS_ALIGN);
            table.put(out);
        });
        Ok(())
    }

    /// The body.
    #[must_use]
    pub fn finish(mut self) -> OpsBuf {
        if let Some(count) = self.out.first_chunk_mut::<4>() {
            *count = self.count.to_le_bytes();
        }
        OpsBuf::built(self.out)
    }

    /// Refuses what would not fit, before a byte is written. `more` may be a little too high.
    fn reserve(&mut self, ids: &[PointId], more: usize) -> Result<(), OpsError> {
        let more = OP_HEADER_LEN + 17 * ids.len() + OPS_ALIGN + more;
        let bytes = self.out.len().saturating_add(more);
        if bytes > self.most {
            return Err(OpsError::Full {
                bytes: bytes as u64,
                most: self.most as u64,
            });
        }
        self.out.reserve(more);
        Ok(())
    }

    fn op(&mut self, kind: u8, ids: &[PointId], table: u32, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.out.len();
        let form = id_form(ids);
        self.out.extend_from_slice(&[kind, form, 0, 0]);
        // Lengths are below `MAX_BODY_LEN`, checked by `reserve`.
        put_u32(&mut self.out, u32::try_from(ids.len()).unwrap_or(u32::MAX));
        put_u32(&mut self.out, table);
        let len_at = self.out.len();
        put_u32(&mut self.out, 0);
        put_ids(&mut self.out, form, ids);
        body(&mut self.out);
        let len = u32::try_from(self.out.len() - start).unwrap_or(u32::MAX);
        if let Some(field) = self.out.get_mut(len_at..len_at + 4) {
            field.copy_from_slice(&len.to_le_bytes());
        }
        self.count += 1;
    }
}

const fn full(bytes: usize) -> OpsError {
    OpsError::Full {
        bytes: bytes as u64,
        most: MAX_BODY_LEN as u64,
    }
}

fn same_length(column: &'static str, expected: usize, found: usize) -> Result<(), OpsError> {
    if expected == found {
        return Ok(());
    }
    Err(OpsError::Length {
        column,
        expected: expected as u64,
        found: found as u64,
    })
}

fn table_len(table: &PayloadTable) -> usize {
    4 * table.len() + table.bytes.len() + 3 * OPS_ALIGN
}

/// How many points have the vector.
fn check_presence(vector: &VectorColumn<'_>, count: usize) -> Result<usize, OpsError> {
    let Some(words) = vector.presence else {
        return Ok(count);
    };
    same_length("presence words", count.div_ceil(64), words.len())?;
    let present: usize = words.iter().map(|word| word.count_ones() as usize).sum();
    let last = words.last().copied().unwrap_or(0);
    if !count.is_multiple_of(64) && last >> (count % 64) != 0 {
        return Err(OpsError::Length {
            column: "presence bits",
            expected: count as u64,
            found: words.len() as u64 * 64 - u64::from(last.leading_zeros()),
        });
    }
    Ok(present)
}

fn put_vector(out: &mut Vec<u8>, vector: &VectorColumn<'_>, count: usize) {
    let present = match vector.presence {
        None => count,
        Some(words) => words.iter().map(|word| word.count_ones() as usize).sum(),
    };
    let presence = vector.presence.filter(|_| present < count);
    put_u16(out, vector.index);
    out.extend_from_slice(&[
        if presence.is_some() {
            tag::BITMAP
        } else {
            tag::ALL_PRESENT
        },
        0,
    ]);
    put_u32(out, vector.stride);
    put_u32(out, u32::try_from(present).unwrap_or(u32::MAX));
    put_u32(out, 0);
    if let Some(words) = presence {
        for word in words {
            put_u64(out, *word);
        }
        let mut rank = 0;
        for word in words {
            put_u32(out, rank);
            rank += word.count_ones();
        }
        put_padding(out, OPS_ALIGN);
    }
    out.extend_from_slice(vector.rows);
    put_padding(out, OPS_ALIGN);
}

fn id_form(ids: &[PointId]) -> u8 {
    let numbers = ids
        .iter()
        .filter(|id| matches!(id, PointId::Number(_)))
        .count();
    match numbers {
        all if all == ids.len() => tag::IDS_NUMBER,
        0 => tag::IDS_UUID,
        _ => tag::IDS_MIXED,
    }
}

fn put_ids(out: &mut Vec<u8>, form: u8, ids: &[PointId]) {
    let mixed = form == tag::IDS_MIXED;
    if mixed {
        out.extend(ids.iter().map(|id| match id {
            PointId::Number(_) => tag::IDS_NUMBER,
            PointId::Uuid(_) => tag::IDS_UUID,
        }));
        put_padding(out, OPS_ALIGN);
    }
    for id in ids {
        match *id {
            PointId::Number(number) => {
                put_u64(out, number);
                if mixed {
                    put_u64(out, 0);
                }
            }
            PointId::Uuid(uuid) => out.extend_from_slice(&uuid_bytes(uuid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal_ops::{Op, OpsRef};
    use proptest::prelude::*;

    type Point = (PointId, Vec<Option<Vec<u8>>>, Value);

    /// What an operation says, point by point, in plain collections.
    #[derive(Clone, PartialEq, Debug)]
    enum Plain {
        Upsert(Vec<Point>),
        Delete(Vec<PointId>),
        Patch(Vec<(PointId, Value)>),
    }

    const STRIDES: [(u16, u32); 2] = [(0, 4), (7, 3)];

    fn any_id() -> impl Strategy<Value = PointId> {
        prop_oneof![
            any::<u64>().prop_map(PointId::Number),
            any::<u128>().prop_map(PointId::Uuid)
        ]
    }

    fn any_ids() -> impl Strategy<Value = Vec<PointId>> {
        prop_oneof![
            prop::collection::vec(any_id(), 0..100),
            prop::collection::vec(any::<u64>().prop_map(PointId::Number), 0..200),
            prop::collection::vec(any::<u128>().prop_map(PointId::Uuid), 0..20),
        ]
    }

    fn any_payload() -> impl Strategy<Value = Value> {
        prop::collection::vec((".{0,5}", any::<i64>().prop_map(Value::Int)), 0..3)
            .prop_map(Value::Object)
    }

    fn any_plain() -> impl Strategy<Value = Plain> {
        let row = |stride: u32| {
            prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), stride as usize))
        };
        let rows = (row(STRIDES[0].1), row(STRIDES[1].1)).prop_map(|(a, b)| vec![a, b]);
        let point = (rows, any_payload()).boxed();
        prop_oneof![
            any_ids().prop_flat_map(move |ids| {
                prop::collection::vec(point.clone(), ids.len()).prop_map(move |points| {
                    let points = ids.iter().zip(points).map(|(id, (rows, p))| (*id, rows, p));
                    Plain::Upsert(points.collect())
                })
            }),
            any_ids().prop_map(Plain::Delete),
            any_ids().prop_flat_map(|ids| {
                prop::collection::vec(any_payload(), ids.len())
                    .prop_map(move |p| Plain::Patch(ids.iter().copied().zip(p).collect()))
            }),
        ]
    }

    fn add(builder: &mut OpsBuilder, op: &Plain) {
        let mut payloads = PayloadTable::new();
        match op {
            Plain::Upsert(points) => {
                let ids: Vec<_> = points.iter().map(|point| point.0).collect();
                let mut columns = vec![];
                for v in 0..STRIDES.len() {
                    let mut presence = vec![0_u64; points.len().div_ceil(64)];
                    let mut rows = vec![];
                    for (i, (_, vectors, _)) in points.iter().enumerate() {
                        if let Some(row) = &vectors[v] {
                            presence[i / 64] |= 1 << (i % 64);
                            rows.extend_from_slice(row);
                        }
                    }
                    columns.push((presence, rows));
                }
                for (_, _, payload) in points {
                    payloads.push_value(payload).unwrap();
                }
                let columns = columns.iter().zip(STRIDES).map(|((presence, rows), at)| {
                    let (index, stride) = at;
                    VectorColumn {
                        index,
                        stride,
                        presence: Some(presence),
                        rows,
                    }
                });
                let vectors: Vec<_> = columns.collect();
                let points = UpsertColumns {
                    ids: &ids,
                    vectors: &vectors,
                    payloads: &payloads,
                };
                builder.upsert(&points).unwrap();
            }
            Plain::Delete(ids) => builder.delete(ids).unwrap(),
            Plain::Patch(points) => {
                let ids: Vec<_> = points.iter().map(|point| point.0).collect();
                let entries = points.iter().map(|(_, p)| payloads.push_value(p).unwrap());
                let entries: Vec<_> = entries.collect();
                builder.patch(&ids, &entries, &payloads).unwrap();
            }
        }
    }

    fn plain(op: &Op<'_>) -> Plain {
        let value = |bytes: &[u8]| Value::decode(bytes).unwrap();
        match op {
            Op::Upsert(op) => Plain::Upsert(
                (0..op.len())
                    .map(|i| {
                        let rows = STRIDES
                            .iter()
                            .map(|(v, _)| op.vector(i, *v).map(<[u8]>::to_vec));
                        (op.id(i), rows.collect(), value(op.payload(i)))
                    })
                    .collect(),
            ),
            Op::Delete(op) => Plain::Delete(op.ids().iter().collect()),
            Op::Patch(op) => Plain::Patch(
                (0..op.len())
                    .map(|i| (op.id(i), value(op.payload(i))))
                    .collect(),
            ),
        }
    }

    #[test]
    fn a_shared_payload_is_stored_once() {
        let ids: Vec<_> = (0..1000).map(PointId::Number).collect();
        let mut table = PayloadTable::new();
        let big = Value::Object(vec![("k".into(), Value::Text("x".repeat(10_000)))]);
        table.push_value(&big).unwrap();
        let mut builder = OpsBuilder::new();
        builder.patch(&ids, &[0; 1000], &table).unwrap();
        let body = builder.finish();
        assert!(body.bytes().len() < 8_000 + 4_000 + 10_200);
        let Some(Op::Patch(patch)) = body.ops().iter().next() else {
            panic!("a patch")
        };
        assert_eq!(patch.payload(999), big.to_bytes());
        assert_eq!(patch.table().len(), 1);
    }

    #[test]
    fn a_full_builder_is_left_as_it_was() {
        let ids: Vec<_> = (0..100).map(PointId::Number).collect();
        let mut builder = OpsBuilder::with_limit(2000);
        builder.delete(&ids[..50]).unwrap();
        let before = builder.body_len();
        assert!(matches!(builder.delete(&ids), Err(OpsError::Full { .. })));
        assert_eq!((builder.body_len(), builder.len()), (before, 1));
        assert_eq!(builder.finish().ops().iter().count(), 1);
    }

    #[test]
    fn columns_of_different_lengths_are_refused() {
        let mut payloads = PayloadTable::new();
        payloads.push(value::EMPTY_PAYLOAD).unwrap();
        let ids = [PointId::Number(1)];
        let mut builder = OpsBuilder::new();
        let mut upsert = |vectors: &[VectorColumn<'_>]| {
            builder.upsert(&UpsertColumns {
                ids: &ids,
                vectors,
                payloads: &payloads,
            })
        };
        let good = VectorColumn {
            index: 1,
            stride: 2,
            presence: None,
            rows: &[0, 0],
        };
        assert!(upsert(&[good]).is_ok());
        assert!(upsert(&[good, good]).is_err());
        assert!(upsert(&[VectorColumn { rows: &[0], ..good }]).is_err());
        assert!(
            upsert(&[VectorColumn {
                presence: Some(&[2]),
                ..good
            }])
            .is_err()
        );
        assert!(
            upsert(&[VectorColumn {
                presence: Some(&[]),
                ..good
            }])
            .is_err()
        );
        assert!(
            upsert(&[VectorColumn {
                stride: 0,
                rows: &[],
                ..good
            }])
            .is_err()
        );
        assert!(payloads.push(&[1]).is_err());
        assert_eq!(payloads.get(0), Some(value::EMPTY_PAYLOAD));
        assert_eq!((payloads.len(), payloads.get(1)), (1, None));
    }

    proptest! {
        #[test]
        fn operations_round_trip(ops in prop::collection::vec(any_plain(), 0..5)) {
            let mut builder = OpsBuilder::new();
            for op in &ops {
                add(&mut builder, op);
            }
            let body = builder.finish();
            let parsed = OpsRef::parse(body.bytes()).unwrap();
            prop_assert_eq!(parsed.len(), ops.len());
            let found: Vec<_> = parsed.iter().map(|op| plain(&op)).collect();
            prop_assert_eq!(&found, &ops);
            let found: Vec<_> = body.ops().iter().map(|op| plain(&op)).collect();
            prop_assert_eq!(&found, &ops);
        }

        // What is accepted after damage must still be safe to walk, and mean what its bytes say.
        #[test]
        fn damaged_operations_never_panic(
            op in any_plain(), at: prop::sample::Index, byte: u8,
        ) {
            let mut builder = OpsBuilder::new();
            add(&mut builder, &op);
            let mut bytes = builder.finish().bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(parsed) = OpsRef::parse(&bytes) {
                prop_assert_eq!(parsed.iter().count(), parsed.len());
                parsed.iter().for_each(|op| drop(plain(&op)));
            }
        }

        #[test]
        fn cut_operations_are_refused(op in any_plain(), cut: prop::sample::Index) {
            let mut builder = OpsBuilder::new();
            add(&mut builder, &op);
            let body = builder.finish();
            let cut = cut.index(body.bytes().len());
            prop_assert!(OpsRef::parse(&body.bytes()[..cut]).is_err());
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(0_u8..4, 0..300)) {
            if let Ok(parsed) = OpsRef::parse(&bytes) {
                parsed.iter().for_each(|op| drop(plain(&op)));
            }
        }
    }
}
