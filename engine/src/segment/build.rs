//! Building the parts of a segment from rows of other sources.
//!
//! # Invariants
//! - A segment's rows are the selected rows, in their order ([`Selected`]).
//! - Payload parts have all patches of their sources folded in.
//! - Columns and statistics are made from the payloads of the same pass, and name the payload
//!   part's hash.

use std::sync::Arc;

use format_spec::patches::PatchesBuilder;
use format_spec::payload::PayloadBuilder;
use format_spec::rows::RowsBuilder;
use format_spec::tombstones::TombstonesBuilder;
use format_spec::vectors::{VectorShape, VectorsBuilder};
use format_spec::{
    DecodeError, FieldIndex, PartEntry, PartKind, Row, Schema, SegmentEntry, SeqNo, ValueRef,
    VectorSchema, WriteError,
};
use index::{ColumnContent, ColumnDraft, FieldPath, StatisticsDraft};

use crate::bits::Bits;
use crate::error::{Error, Result};
use crate::segment::gather::{Pick, each_gathered};
use crate::segment::selected::Selected;
use crate::segment::{PartPlan, write_part};
use crate::shard::Ground;
use crate::source::Source;
use crate::version::SegmentState;

/// Asked now and then whether to go on; an error ends the work.
pub(crate) type Checkpoint<'a> = &'a dyn Fn(u64) -> Result<()>;

/// Rows between two questions to a [`Checkpoint`].
pub(crate) const CHECK_EVERY: u64 = 4096;

/// Writes rows, payload, columns and vectors of a new flat segment; `exact_for` is the SeqNo of
/// the state the sources are read at.
///
/// # Errors
/// `Corrupt` when a source does not verify; what the disk says; what `check` returns.
pub(crate) fn write_segment(
    base: &Ground,
    schema: &Schema,
    selected: &Selected<'_>,
    exact_for: SeqNo,
    check: Checkpoint<'_>,
) -> Result<SegmentEntry> {
    let total = selected.len();
    let (rows, seqno_min, seqno_max) = write_rows(base, selected, exact_for)?;
    let mut parts = vec![rows];
    parts.extend(write_payloads(
        base,
        &schema.fields,
        selected,
        exact_for,
        check,
    )?);
    for (index, vector) in schema.vectors.iter().enumerate() {
        parts.extend(write_vectors(
            base, vector, index, selected, exact_for, check,
        )?);
    }
    let rows = u32::try_from(total)
        .map_err(|_| Error::invalid("write segment", format!("{total} rows in one segment")))?;
    Ok(SegmentEntry {
        id: base.new_segment(),
        rows,
        seqno_min,
        seqno_max,
        parts,
    })
}

fn plan(kind: PartKind, name: &str, exact_for: SeqNo) -> PartPlan {
    PartPlan {
        kind,
        name: name.to_owned(),
        source_hash: None,
        exact_for,
    }
}

fn write_rows(
    base: &Ground,
    selected: &Selected<'_>,
    exact_for: SeqNo,
) -> Result<(PartEntry, SeqNo, SeqNo)> {
    let mut builder = RowsBuilder::new();
    let (mut least, mut most) = (SeqNo(u64::MAX), SeqNo(0));
    for (source, row) in selected.rows() {
        let seqno = source.seqno(row)?;
        least = least.min(seqno);
        most = most.max(seqno);
        builder.push(source.id(row)?, seqno);
    }
    let entry = write_part(base, plan(PartKind::Rows, "", exact_for), |part| {
        builder.finish(part)
    })?;
    Ok((entry, least.min(most), most))
}

/// Writes the payload part, its statistics, and a column for each of `fields`.
fn write_payloads(
    base: &Ground,
    fields: &[FieldIndex],
    selected: &Selected<'_>,
    exact_for: SeqNo,
    check: Checkpoint<'_>,
) -> Result<Vec<PartEntry>> {
    let mut columns = fields.iter().map(Column::new).collect::<Result<Vec<_>>>()?;
    let mut statistics = Statistics::new();
    let written = write_part(base, plan(PartKind::Payload, "", exact_for), |part| {
        let mut builder = PayloadBuilder::new(part, exact_for)?;
        let each = selected.each_payload(check, |payload| {
            push_all(&mut columns, payload)?;
            builder.push(payload)?;
            statistics.push(payload, builder.blocks());
            Ok(())
        });
        match each {
            Ok(()) => builder.finish(),
            Err(Stop::Write(error)) => Err(error),
            Err(Stop::Read(error)) => Err(WriteError::Io(std::io::Error::other(error))),
        }
    });
    let mut parts = vec![written?];
    parts.extend(statistics.write(base, parts[0].hash, exact_for)?);
    for column in columns {
        parts.push(column.write(base, parts[0].hash, exact_for)?);
    }
    Ok(parts)
}

/// Why a pass over payloads ended early.
enum Stop {
    Read(Error),
    Write(WriteError),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Read(error)
    }
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

/// A column in the making.
struct Column {
    name: String,
    draft: ColumnDraft,
}

impl Column {
    fn new(field: &FieldIndex) -> Result<Self> {
        let path = FieldPath::parse(&field.path)
            .map_err(|error| Error::invalid("index field", error.to_string()))?;
        let content = ColumnContent::of(field)
            .map_err(|error| Error::invalid("index field", error.to_string()))?;
        let draft = ColumnDraft::new(path, &content);
        Ok(Self {
            name: field.path.clone(),
            draft,
        })
    }

    fn write(self, base: &Ground, source: [u8; 32], exact_for: SeqNo) -> Result<PartEntry> {
        let mut plan = plan(PartKind::Column, &self.name, exact_for);
        plan.source_hash = Some(source);
        write_part(base, plan, |part| self.draft.finish(part, exact_for))
    }
}

/// Statistics in the making.
struct Statistics {
    /// `None` once a payload did not decode: there are no statistics then, and filters read it.
    draft: Option<StatisticsDraft>,
    /// Payload blocks that are full.
    blocks: u32,
}

impl Statistics {
    fn new() -> Self {
        Self {
            draft: Some(StatisticsDraft::new()),
            blocks: 0,
        }
    }

    /// Takes the next payload, before which `blocks` payload blocks were full.
    fn push(&mut self, payload: &[u8], blocks: u32) {
        let Some(draft) = &mut self.draft else {
            return;
        };
        if blocks != self.blocks {
            draft.end_zone();
            self.blocks = blocks;
        }
        let pushed = ValueRef::new(payload).and_then(|payload| draft.push(payload));
        if pushed.is_err() {
            self.draft = None;
        }
    }

    fn write(self, base: &Ground, source: [u8; 32], exact_for: SeqNo) -> Result<Option<PartEntry>> {
        let mut plan = plan(PartKind::Statistics, "", exact_for);
        plan.source_hash = Some(source);
        let write =
            |draft: StatisticsDraft| write_part(base, plan, |part| draft.finish(part, exact_for));
        self.draft.map(write).transpose()
    }
}

/// Gives a payload to every column.
fn push_all(columns: &mut [Column], payload: &[u8]) -> Result<(), Stop> {
    let decode = |error: DecodeError| Stop::Read(Error::corrupt("payload", error));
    for column in columns {
        column
            .draft
            .push(ValueRef::new(payload).map_err(decode)?)
            .map_err(decode)?;
    }
    Ok(())
}

/// Writes the column of one field for a segment that exists. Rows that patches replaced are in
/// it with what the payload part says: readers evaluate those on their patches.
///
/// # Errors
/// As [`write_segment`].
pub(crate) fn write_column(
    base: &Ground,
    state: &Arc<SegmentState>,
    field: &FieldIndex,
    check: Checkpoint<'_>,
) -> Result<PartEntry> {
    let mut column = Column::new(field)?;
    each_own_payload(state, check, |payload| {
        push_all(std::slice::from_mut(&mut column), payload)
    })?;
    let payload = state.segment.payload()?.part.entry();
    column.write(base, payload.hash, payload.exact_for)
}

/// Gives every payload of a segment to `take`, as the payload part has it.
fn each_own_payload(
    state: &Arc<SegmentState>,
    check: Checkpoint<'_>,
    take: impl FnMut(&[u8]) -> Result<(), Stop>,
) -> Result<()> {
    let source = [Source::segment(Arc::new(state.without_patches()))];
    match Selected::whole(&source).each_payload(check, take) {
        Ok(()) => Ok(()),
        Err(Stop::Read(error)) => Err(error),
        Err(Stop::Write(error)) => Err(Error::invalid("write", error.to_string())),
    }
}

/// Writes the statistics of a segment that exists; of rows that patches replaced they say what the
/// payload part has, as its columns do.
///
/// # Errors
/// As [`write_segment`]; `Corrupt` too when a payload does not decode.
pub(crate) fn write_statistics(
    base: &Ground,
    state: &Arc<SegmentState>,
    check: Checkpoint<'_>,
) -> Result<PartEntry> {
    let payloads = state.segment.payload()?;
    let (view, entry) = (payloads.view, payloads.part.entry());
    let mut statistics = Statistics::new();
    let mut row = 0;
    each_own_payload(state, check, |payload| {
        statistics.push(payload, view.block_of(row).unwrap_or_default());
        row += 1;
        Ok(())
    })?;
    let written = statistics.write(base, entry.hash, entry.exact_for)?;
    written.ok_or_else(|| Error::damaged(payloads.part.path(), "a payload does not decode"))
}

/// Writes payload and columns of a segment anew, with all patches of `state` folded in, and the
/// rows with the SeqNos of the patches.
///
/// # Errors
/// As [`write_segment`].
pub(crate) fn write_folded(
    base: &Ground,
    schema: &Schema,
    state: &Arc<SegmentState>,
    exact_for: SeqNo,
    check: Checkpoint<'_>,
) -> Result<(Vec<PartEntry>, SeqNo)> {
    let source = [Source::segment(Arc::clone(state))];
    let rows = Selected::whole(&source);
    let mut parts = write_payloads(base, &schema.fields, &rows, exact_for, check)?;
    let (rows, _, seqno_max) = write_rows(base, &rows, exact_for)?;
    parts.push(rows);
    Ok((parts, seqno_max))
}

fn write_vectors(
    base: &Ground,
    vector: &VectorSchema,
    index: usize,
    selected: &Selected<'_>,
    exact_for: SeqNo,
    check: Checkpoint<'_>,
) -> Result<Option<PartEntry>> {
    if !any_present(index, selected)? {
        return Ok(None);
    }
    let shape = VectorShape {
        dim: vector.dim,
        element: vector.element,
        metric: vector.metric,
    };
    let plan = plan(PartKind::Vectors, &vector.name, exact_for);
    let entry = write_part(base, plan, |part| {
        let mut builder = VectorsBuilder::new(part, shape)?;
        let mut done = 0;
        for (source, row) in selected.rows() {
            let read = source.mapped_vector(index, row).and_then(|vector| {
                done += 1;
                if done % CHECK_EVERY == 0 {
                    check(done).map(|()| vector)
                } else {
                    Ok(vector)
                }
            });
            let vector = read.map_err(std::io::Error::other)?;
            builder.push(vector)?;
        }
        builder.finish()
    })?;
    Ok(Some(entry))
}

fn any_present(index: usize, selected: &Selected<'_>) -> Result<bool> {
    for (source, row) in selected.rows() {
        if source.has_vector(index, row)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes the dead rows of a segment as of `upto`.
///
/// # Errors
/// What the disk says.
pub(crate) fn write_tombstones(
    base: &Ground,
    rows: u32,
    dead: &Bits,
    upto: SeqNo,
) -> Result<PartEntry> {
    let set = dead.to_row_set();
    write_part(base, plan(PartKind::Tombstones, "", upto), |part| {
        TombstonesBuilder {
            rows,
            exact_for: upto,
            dead: set.words(),
        }
        .finish(part)
    })
}

/// A row whose payload is replaced by that of a row elsewhere.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Replaced {
    /// The row that is patched.
    pub(crate) row: Row,
    /// The operation that patched it.
    pub(crate) seqno: SeqNo,
    /// The row that has the payload.
    pub(crate) from: Pick,
}

/// Writes all patches of a segment as `state` has them.
///
/// # Errors
/// As [`write_replaced`].
pub(crate) fn write_patches(base: &Ground, state: &SegmentState, upto: SeqNo) -> Result<PartEntry> {
    let source = [Source::segment(Arc::new(state.clone()))];
    let patched = state.patches.rows.iter().map(|row| {
        source[0].seqno(row).map(|seqno| Replaced {
            row,
            seqno,
            from: Pick { source: 0, row },
        })
    });
    let replaced: Vec<Replaced> = patched.collect::<Result<_>>()?;
    write_replaced(base, state.segment.row_count(), &source, &replaced, upto)
}

/// Writes a patch part for a segment of `rows` rows, with the payloads of `sources`; the patched
/// rows ascend.
///
/// # Errors
/// `Corrupt` when an older patch part does not verify; what the disk says.
pub(crate) fn write_replaced(
    base: &Ground,
    rows: u32,
    sources: &[Source],
    replaced: &[Replaced],
    upto: SeqNo,
) -> Result<PartEntry> {
    let picks: Vec<Pick> = replaced.iter().map(|patch| patch.from).collect();
    write_part(base, plan(PartKind::Patch, "", upto), |part| {
        let mut builder = PatchesBuilder::new(part, rows, upto)?;
        let mut patches = replaced.iter();
        let each = each_gathered(sources, &picks, &|_| Ok(()), |payload| {
            if let Some(patch) = patches.next() {
                builder.push(patch.row, patch.seqno, payload)?;
            }
            Ok(())
        });
        match each {
            Ok(()) => builder.finish(),
            Err(Stop::Write(error)) => Err(error),
            Err(Stop::Read(error)) => Err(WriteError::Io(std::io::Error::other(error))),
        }
    })
}
