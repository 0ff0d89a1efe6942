//! The codes of a segment's vectors: opening them, and making them.
//!
//! # Invariants
//! - Codes are derived: they name the hash of the vectors they were made from.
//! - All codes are made with one rotation a dimension, so that a query is rotated once for all
//!   segments; the centre is the segment's own.

use format_spec::codes::{CodesBuilder, CodesLayout, CodesShape, Measure};
use format_spec::container::{PartLayout, WriteError};
use format_spec::vectors::VectorsView;
use format_spec::{
    Codec, DecodeError, Element, PartEntry, PartKind, Row, Schema, SegmentEntry, VectorSchema,
};
use quant::{BLOCK_ROWS, BlockBuilder, CodeBits, CodeMetric, CodeSpace, Compression, Rotation};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::memtable::codes::{Coding, Encoded};
use crate::segment::build::Checkpoint;
use crate::segment::made::Made;
use crate::segment::product::write_product;
use crate::segment::recall::note_recall;
use crate::segment::{PartPlan, Segment, write_part};
use crate::settings::Settings;
use crate::shard::Ground;

/// The rotation of all codes.
pub(crate) const SEED: u64 = 0x4361_6972_6e43_6f64;
/// Bits of codes unless the schema asks for others: with four a vector or two more than are wanted
/// need be compared exactly.
pub(crate) const BITS: CodeBits = CodeBits::Four;
/// Vectors the centre is the mean of, at most.
const SAMPLE_ROWS: u32 = 4_096;
/// The codes of a memtable are kept if their centre is nearer to the mean of the vectors than this,
/// squared, as a share of the mean squared distance of the vectors from it: so much longer are the
/// residuals that are encoded.
const CENTRE_OFF_MAX: f64 = 0.02;
/// Blocks encoded by one task at most, and bytes of codes that it makes.
const TASK_BLOCKS: usize = 32;
const TASK_BYTES: usize = 1 << 20;
/// Tasks in memory at once, for each thread of the pool.
const TASKS_A_THREAD: usize = 4;

/// What is read of a codes part when it is first needed.
#[derive(Debug)]
pub(crate) struct OpenCodes {
    pub(crate) layout: CodesLayout,
    pub(crate) space: CodeSpace,
}

impl OpenCodes {
    /// Reads figures and centre of the codes part in `bytes`.
    ///
    /// # Errors
    /// The first thing that is not as the chapter demands.
    pub(crate) fn open(part: &PartLayout, bytes: &[u8]) -> Result<Self, DecodeError> {
        let layout = CodesLayout::open(part, bytes)?;
        let shape = layout.shape();
        let rotation = Rotation::new(shape.dim as usize, shape.seed);
        let space = CodeSpace::new(rotation, layout.view(bytes).centre());
        Ok(Self { layout, space })
    }

    /// Bits of the code that refines the one-bit code.
    pub(crate) fn bits(&self) -> CodeBits {
        CodeBits::of_count(self.layout.shape().bits).unwrap_or(BITS)
    }

    /// What is estimated.
    pub(crate) fn metric(&self) -> CodeMetric {
        match self.layout.shape().measure {
            Measure::Dot => CodeMetric::Dot,
            Measure::Euclid => CodeMetric::Euclid,
        }
    }
}

/// What codes of these vectors estimate, if there are codes of such vectors: bytes are compared
/// about as fast as codes of them would be, and Manhattan is kept by no rotation.
pub(crate) fn metric_of(vector: &VectorSchema) -> Option<CodeMetric> {
    match vector.element {
        Element::F32 | Element::F16 => CodeMetric::of(vector.metric),
        Element::U8 => None,
    }
}

/// What codes vectors have.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum CodesKind {
    /// One bit, refined by so many.
    Grid(CodeBits),
    /// Product codes.
    Product(Compression),
}

impl CodesKind {
    /// Those that the schema asks for. Bytes are compared about as fast as codes of them would be
    /// and have none; Manhattan is kept by no rotation, and has product codes of as many bits.
    pub(crate) fn of(vector: &VectorSchema) -> Option<Self> {
        let rotates = metric_of(vector).is_some();
        let kind = match vector.codec {
            Codec::Auto if !rotates => return None,
            Codec::Bits1 if !rotates => Self::Product(Compression::X32),
            Codec::Bits2 if !rotates => Self::Product(Compression::X16),
            Codec::Bits4 if !rotates => Self::Product(Compression::X8),
            Codec::Bits8 if !rotates => Self::Product(Compression::X4),
            Codec::Bits1 => Self::Grid(CodeBits::One),
            Codec::Bits2 => Self::Grid(CodeBits::Two),
            Codec::Bits8 => Self::Grid(CodeBits::Eight),
            Codec::Auto | Codec::Bits4 => Self::Grid(BITS),
            Codec::Product4 => Self::Product(Compression::X4),
            Codec::Product8 => Self::Product(Compression::X8),
            Codec::Product16 => Self::Product(Compression::X16),
            Codec::Product32 => Self::Product(Compression::X32),
            Codec::Product64 => Self::Product(Compression::X64),
        };
        (vector.element != Element::U8).then_some(kind)
    }
}

/// Writes codes for all vectors of a new segment that are to have them; `made` are those of the
/// memtable that it was made of, if it was.
///
/// # Errors
/// As [`write_codes`].
pub(crate) fn add_codes(
    base: &Ground,
    entry: &mut SegmentEntry,
    schema: &Schema,
    made: Option<Made<'_>>,
    check: Checkpoint<'_>,
) -> Result<()> {
    let rows = u64::from(entry.rows);
    let settings = &base.around.settings;
    let wanted = |vector: &VectorSchema| planned(settings, schema, vector, rows).codes.is_some();
    if !schema.vectors.iter().any(wanted) {
        return Ok(());
    }
    let (dir, owner) = (base.name.parts_dir(), base.name.owner());
    let flat = Segment::open(base.storage(), &dir, owner, entry.clone(), schema, &[])?;
    for (index, vector) in schema.vectors.iter().enumerate() {
        if wanted(vector) && flat.vectors_part(index).is_some() {
            let mut part = write_codes(base, &flat, (index, vector), made, check)?;
            note_recall(base, entry, schema, (index, &mut part))?;
            entry.parts.push(part);
        }
    }
    Ok(())
}

/// What the vectors of one name are to have in a segment with so many live rows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Planned {
    pub(crate) codes: Option<CodesKind>,
    pub(crate) graph: bool,
}

/// What the vectors of one name are to have in a segment with `rows` live rows: codes unless they
/// are so few that they are compared as fast, a graph if they are so many that a scan is slow.
pub(crate) fn planned(
    settings: &Settings,
    schema: &Schema,
    vector: &VectorSchema,
    rows: u64,
) -> Planned {
    let bytes = rows.saturating_mul(vector.stride() as u64);
    let threshold = schema.compaction.indexing_threshold_kb.saturating_mul(1024);
    let codes = CodesKind::of(vector).filter(|_| bytes >= settings.codes_bytes_min);
    let large = threshold > 0 && bytes >= threshold;
    // A scan of product codes is not so fast that a graph could wait.
    let waits = matches!(codes, Some(CodesKind::Grid(_))) && rows < settings.graph_rows_min;
    Planned {
        codes,
        graph: vector.hnsw.m > 0 && large && !waits,
    }
}

/// Whether the vectors of one name are to have codes, and have none or other ones.
pub(crate) fn lacks_codes(segment: &Segment, index: usize, planned: Planned) -> bool {
    planned.codes.is_some_and(|kind| match kind {
        CodesKind::Grid(bits) => !segment.has_codes_of(index, bits),
        CodesKind::Product(compression) => !segment.has_product_of(index, compression),
    })
}

/// Makes and writes the codes of the vectors `index` of a segment, or writes those that a memtable
/// has `made`.
///
/// # Errors
/// `Corrupt` when the vectors do not verify, what `check` returns, what the disk says.
pub(crate) fn write_codes(
    base: &Ground,
    segment: &Segment,
    (index, vector): (usize, &VectorSchema),
    made: Option<Made<'_>>,
    check: Checkpoint<'_>,
) -> Result<PartEntry> {
    let none = || Error::invalid("encode", format!("no codes of vector {:?}", vector.name));
    if let CodesKind::Product(compression) = CodesKind::of(vector).ok_or_else(none)? {
        return write_product(base, segment, (index, vector), compression, check);
    }
    let part = segment.vectors_part(index).ok_or_else(none)?;
    let coding = Coding::of(vector).ok_or_else(none)?;
    part.bytes()?;
    let view = segment.vectors(index)?.ok_or_else(none)?.view;
    let (own, spread) = space_of(&view);
    let made = made.and_then(|made| Some((made, made.coding(index)?)));
    let made = made.filter(|(_, (of, space))| **of == coding && is_near(space, &own, spread));
    let space = made.map_or(&own, |(_, (_, space))| space);
    let shape = CodesShape {
        dim: vector.dim,
        bits: coding.bits().count() as u32,
        measure: match coding.metric() {
            CodeMetric::Dot => Measure::Dot,
            CodeMetric::Euclid => Measure::Euclid,
        },
        seed: SEED,
    };
    let plan = PartPlan {
        kind: PartKind::Codes,
        name: vector.name.clone(),
        source_hash: Some(part.entry().hash),
        exact_for: part.entry().exact_for,
    };
    // Not the pool that builds graphs: a flush would wait for a whole graph.
    let pool = base.around.encode_pool.get()?;
    write_part(base, plan, |part| {
        let mut builder = CodesBuilder::new(part, shape)?;
        let mut blocks = Vec::new();
        let take = |task: &Encoded, done| {
            builder.push(&task.rows)?;
            blocks.extend_from_slice(&task.blocks);
            check(done).map_err(std::io::Error::other)?;
            Ok::<_, WriteError>(())
        };
        match made {
            Some((made, _)) => made.each(index, pool, take)?,
            None => each_encoded((&coding, space), &view, pool, take)?,
        }
        builder.finish(view.len(), &blocks, space.centre())
    })
}

/// Rows of four bits of all vectors and their blocks, in memory, for building a graph where the
/// codes are others.
pub(crate) fn codes_to_build_on(
    view: &VectorsView<'_>,
    metric: CodeMetric,
    pool: &rayon::ThreadPool,
    check: Checkpoint<'_>,
) -> Result<(Vec<u8>, Vec<u8>)> {
    let (space, _) = space_of(view);
    let coding = Coding::new(view.dim(), view.element(), metric, CodeBits::Four);
    let (mut rows, mut blocks) = (Vec::new(), Vec::new());
    each_encoded((&coding, &space), view, pool, |task, done| {
        rows.extend_from_slice(&task.rows);
        blocks.extend_from_slice(&task.blocks);
        check(done)
    })?;
    Ok((rows, blocks))
}

/// Encodes all vectors, some thousand at a time, and calls `take` with what was made, in order, and
/// how many rows that is in all.
fn each_encoded<E>(
    (coding, space): (&Coding, &CodeSpace),
    view: &VectorsView<'_>,
    pool: &rayon::ThreadPool,
    mut take: impl FnMut(&Encoded, u64) -> Result<(), E>,
) -> Result<(), E> {
    let block_len = BlockBuilder::block_len(space.padded());
    let rows_len = BLOCK_ROWS * coding.bits().row_len(space.padded());
    let task_rows = BLOCK_ROWS * (TASK_BYTES / (block_len + rows_len)).clamp(1, TASK_BLOCKS);
    let starts: Vec<Row> = (0..view.len()).step_by(task_rows).collect();
    for wave in starts.chunks(TASKS_A_THREAD * pool.current_num_threads()) {
        let end = |start: Row| view.len().min(start + task_rows as Row);
        let encode = |&start: &Row| {
            let rows: Vec<_> = (start..end(start)).map(|row| view.vector(row)).collect();
            coding.encode(space, rows.into_iter())
        };
        let tasks: Vec<Encoded> = pool.install(|| wave.par_iter().map(encode).collect());
        for (&start, task) in wave.iter().zip(&tasks) {
            take(task, u64::from(end(start)))?;
        }
    }
    Ok(())
}

/// The space around the mean of vectors spread over the segment, and their mean squared distance
/// from it.
fn space_of(view: &VectorsView<'_>) -> (CodeSpace, f64) {
    let step = view.len().div_ceil(SAMPLE_ROWS).max(1);
    let rows = (0..view.len()).step_by(step as usize);
    let (mut squares, mut count) = (0.0, 0_u32);
    let sample = rows.filter_map(|row| {
        let mut vector = Vec::with_capacity(view.dim() as usize);
        quant::decode_row(view.element(), view.vector(row)?, &mut vector);
        squares += vector
            .iter()
            .map(|&x| f64::from(x) * f64::from(x))
            .sum::<f64>();
        count += 1;
        Some(vector)
    });
    let rotation = Rotation::new(view.dim() as usize, SEED);
    let space = CodeSpace::of_sample(rotation, sample);
    // A rotation keeps lengths.
    let centre = space.centre().iter().map(|&x| f64::from(x) * f64::from(x));
    let spread = squares / f64::from(count.max(1)) - centre.sum::<f64>();
    (space, spread)
}

/// Whether codes made in the space `other` are about as good as in one's own.
fn is_near(other: &CodeSpace, own: &CodeSpace, spread: f64) -> bool {
    let pairs = other.centre().iter().zip(own.centre());
    let off: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
    off <= CENTRE_OFF_MAX * spread
}
