//! The product codes of a segment's vectors: opening them, and making them.
//!
//! # Invariants
//! - They name the hash of the vectors they were made from.
//! - The same vectors give the same part, with any number of threads.

use std::ops::Range;

use format_spec::container::PartLayout;
use format_spec::product::{ProductBuilder, ProductLayout, ProductPartShape};
use format_spec::vectors::VectorsView;
use format_spec::{DecodeError, PartEntry, PartKind, Row, VectorSchema, Why};
use quant::{Compression, ProductCodebook, ProductShape, ProductTraining, Query, TRAINING_ROWS};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::row_product::RowProduct;
use crate::segment::build::Checkpoint;
use crate::segment::{Lazy, PartPlan, Segment, write_part};
use crate::shard::Ground;

/// What codebooks are learned with.
const SEED: u64 = 0x4361_6972_6e50_7164;
/// Most bytes of vectors that codebooks are learned from: at 65,536 dimensions still four vectors
/// for each centroid.
const SAMPLE_BYTES_MAX: usize = 256 << 20;
/// Rows encoded by one task, and tasks in memory at once, for each thread of the pool.
const TASK_ROWS: usize = 1_024;
const TASKS_A_THREAD: usize = 4;

/// What is read of a product part when it is first needed.
#[derive(Debug)]
pub(crate) struct OpenProduct {
    pub(crate) layout: ProductLayout,
    pub(crate) codebook: ProductCodebook,
}

impl OpenProduct {
    /// Reads figures and codebook of the product part in `bytes`.
    ///
    /// # Errors
    /// The first thing that is not as the chapter demands.
    pub(crate) fn open(part: &PartLayout, bytes: &[u8]) -> Result<Self, DecodeError> {
        let layout = ProductLayout::open(part, bytes)?;
        let shape = layout.shape();
        let of = ProductShape::new(shape.dim as usize, shape.width as usize);
        let book = layout.view(bytes).book();
        let codebook = ProductCodebook::new(of, shape.count as usize, &book);
        Ok(Self { layout, codebook })
    }
}

impl Segment {
    /// The product codes of one name's vectors, all verified.
    pub(crate) fn product(&self, vector_index: usize) -> Result<Option<RowProduct<'_>>> {
        match self.products.get(vector_index) {
            Some(Some(lazy)) => {
                let open = self.open_product(vector_index, lazy)?;
                RowProduct::new(&lazy.part, open).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn open_product<'a>(
        &'a self,
        vector_index: usize,
        lazy: &'a Lazy<OpenProduct>,
    ) -> Result<&'a OpenProduct> {
        let part = &lazy.part;
        if let Some(open) = lazy.layout.get() {
            return Ok(open);
        }
        part.verify_sections(&format_spec::product::VERIFIED_BEFORE_OPEN)?;
        let dim = self
            .vectors(vector_index)?
            .map(|vectors| vectors.view.dim());
        lazy.layout(part.raw(), |layout, bytes| {
            let open = OpenProduct::open(layout, bytes)?;
            let fits = open.layout.len() == self.entry.rows && Some(open.layout.shape().dim) == dim;
            let other = DecodeError::new(0, "product codes of the segment", Why::Identity);
            fits.then_some(open).ok_or(other)
        })
    }

    /// Bytes of a row of the product codes of one name's vectors.
    pub(crate) fn product_len(&self, vector_index: usize) -> Result<Option<usize>> {
        match self.products.get(vector_index) {
            Some(Some(lazy)) if lazy.part.damage().is_none() => {
                let open = self.open_product(vector_index, lazy)?;
                Ok(Some(open.layout.shape().row_len()))
            }
            _ => Ok(None),
        }
    }

    /// Whether there are product codes of such a compression of one name's vectors that are not
    /// known to be damaged.
    pub(crate) fn has_product_of(&self, vector_index: usize, compression: Compression) -> bool {
        let Some(Some(lazy)) = self.products.get(vector_index) else {
            return false;
        };
        let width = compression.width();
        let same = |open: &OpenProduct| open.codebook.shape().width() == width;
        lazy.part.damage().is_none() && self.open_product(vector_index, lazy).is_ok_and(same)
    }

    /// Whether there are product codes of one name's vectors that are not known to be damaged.
    pub(super) fn has_product(&self, vector_index: usize) -> bool {
        let product = self.products.get(vector_index).and_then(Option::as_ref);
        product.is_some_and(|product| product.part.damage().is_none())
    }
}

/// Makes and writes the product codes of the vectors `index` of a segment.
///
/// # Errors
/// `Corrupt` when the vectors do not verify, what `check` returns, what the disk says.
pub(crate) fn write_product(
    base: &Ground,
    segment: &Segment,
    (index, vector): (usize, &VectorSchema),
    compression: Compression,
    check: Checkpoint<'_>,
) -> Result<PartEntry> {
    let none = || Error::invalid("encode", format!("no vector {:?}", vector.name));
    let part = segment.vectors_part(index).ok_or_else(none)?;
    part.bytes()?;
    let rows = Rows {
        view: segment.vectors(index)?.ok_or_else(none)?.view,
        vector,
    };
    let shape = ProductShape::of(vector.dim as usize, compression);
    // Not the pool that builds graphs: a flush would wait for a whole graph.
    let pool = base.around.encode_pool.get()?;
    let sample = rows.sample();
    let training = ProductTraining::new(shape, &sample, SEED);
    let mut learned = Vec::with_capacity(shape.row_len());
    let subspaces: Vec<usize> = (0..shape.row_len()).collect();
    for wave in subspaces.chunks(TASKS_A_THREAD * pool.current_num_threads()) {
        check(0)?;
        let learn = |&subspace: &usize| training.subspace(subspace);
        let of_wave: Vec<_> = pool.install(|| wave.par_iter().map(learn).collect());
        learned.extend(of_wave);
    }
    let codebook = training.codebook(&learned);
    let plan = PartPlan {
        kind: PartKind::Product,
        name: vector.name.clone(),
        source_hash: Some(part.entry().hash),
        exact_for: part.entry().exact_for,
    };
    let part_shape = ProductPartShape {
        dim: vector.dim,
        width: u32::try_from(shape.width()).unwrap_or(u32::MAX),
        count: u32::try_from(codebook.count()).unwrap_or(u32::MAX),
        seed: SEED,
    };
    write_part(base, plan, |part| {
        let mut builder = ProductBuilder::new(part, part_shape)?;
        let starts: Vec<Row> = (0..rows.view.len()).step_by(TASK_ROWS).collect();
        for wave in starts.chunks(TASKS_A_THREAD * pool.current_num_threads()) {
            let encode = |&start: &Row| {
                let end = rows.view.len().min(start + TASK_ROWS as Row);
                rows.encoded(&codebook, start..end)
            };
            let tasks: Vec<Vec<u8>> = pool.install(|| wave.par_iter().map(encode).collect());
            for (&start, task) in wave.iter().zip(&tasks) {
                for (row, codes) in (start..).zip(task.chunks_exact(shape.row_len())) {
                    builder.push(rows.view.is_present(row).then_some(codes))?;
                }
            }
            let done = wave.last().map_or(0, |&last| u64::from(last));
            check(done).map_err(std::io::Error::other)?;
        }
        builder.finish(&codebook.stored())
    })
}

/// The vectors that are encoded.
struct Rows<'a> {
    view: VectorsView<'a>,
    vector: &'a VectorSchema,
}

impl Rows<'_> {
    /// Vectors spread over the segment, side by side.
    fn sample(&self) -> Vec<f32> {
        let present = (0..self.view.len()).filter(|&row| self.view.is_present(row));
        let row_bytes = self.vector.dim as usize * size_of::<f32>();
        let rows_max = (SAMPLE_BYTES_MAX / row_bytes.max(1)).min(TRAINING_ROWS);
        let step = (self.view.present_count() as usize).div_ceil(rows_max.max(1));
        let mut sample = Vec::new();
        for row in present.step_by(step.max(1)) {
            sample.extend(self.vector(row));
        }
        sample
    }

    /// As queries see it: that of Cosine at unit length, of whatever elements.
    fn vector(&self, row: Row) -> Vec<f32> {
        let (metric, element) = (self.vector.metric, self.vector.element);
        let bytes = self.view.vector(row);
        bytes.map_or_else(Vec::new, |bytes| {
            Query::of_row(metric, element, bytes).prepared()
        })
    }

    /// The codes of rows; zeros for those without a vector.
    fn encoded(&self, codebook: &ProductCodebook, rows: Range<Row>) -> Vec<u8> {
        let row_len = codebook.shape().row_len();
        let mut codes = Vec::with_capacity(rows.len() * row_len);
        for row in rows {
            if self.view.is_present(row) {
                codebook.encode(&self.vector(row), &mut codes);
            } else {
                codes.resize(codes.len() + row_len, 0);
            }
        }
        codes
    }
}
