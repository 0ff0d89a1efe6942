//! Codes of the rows of a memtable: made block by block as blocks fill, searched at once, and
//! written by the flush.
//!
//! # Invariants
//! - Only a block that is full has codes, and they never change.
//! - All codes of one vector name of a memtable are made in one space.

use std::sync::{Arc, OnceLock};

use format_spec::{Element, VectorSchema};
use quant::{BLOCK_ROWS, BlockBuilder, CodeBits, CodeMetric, CodeSpace, Encoder, Rotation};

use super::block::Block;
use crate::segment::codes::{BITS, CodesKind, SEED, metric_of};

/// Full blocks that are encoded together, at least.
const JOB_BLOCKS_MIN: usize = 4;
/// Vectors the centre is the mean of, at most.
const SAMPLE_ROWS: usize = 4_096;

/// What the vectors of one name are, for those who encode them.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Coding {
    dim: usize,
    element: Element,
    metric: CodeMetric,
    pub(crate) bits: CodeBits,
}

impl Coding {
    /// Of vectors that can have codes.
    pub(crate) fn of(vector: &VectorSchema) -> Option<Self> {
        let metric = metric_of(vector)?;
        let bits = match CodesKind::of(vector)? {
            CodesKind::Grid(bits) => bits,
            // Product codes are learned from all vectors of a segment; until then others serve.
            CodesKind::Product(_) => BITS,
        };
        Some(Self::new(vector.dim, vector.element, metric, bits))
    }

    pub(crate) fn new(dim: u32, element: Element, metric: CodeMetric, bits: CodeBits) -> Self {
        Self {
            dim: dim as usize,
            element,
            metric,
            bits,
        }
    }

    /// Bits of the code that refines the one-bit code.
    pub(crate) fn bits(&self) -> CodeBits {
        self.bits
    }

    /// What is estimated.
    pub(crate) fn metric(&self) -> CodeMetric {
        self.metric
    }

    /// The codes of rows in their order; `None` for a row without the vector.
    pub(crate) fn encode<'a>(
        &self,
        space: &CodeSpace,
        rows: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    ) -> Encoded {
        let mut encoder = Encoder::new(space, self.metric, self.bits);
        let mut block = BlockBuilder::new(space.padded());
        let mut encoded = Encoded {
            rows: Vec::with_capacity(rows.len() * self.bits.row_len(space.padded())),
            blocks: Vec::with_capacity(
                rows.len().div_ceil(BLOCK_ROWS) * BlockBuilder::block_len(space.padded()),
            ),
        };
        let mut vector = Vec::with_capacity(self.dim);
        for row in rows {
            match row {
                Some(bytes) => {
                    vector.clear();
                    quant::decode_row(self.element, bytes, &mut vector);
                    encoder.encode(&vector, &mut block, &mut encoded.rows);
                }
                None => encoder.encode_absent(&mut block, &mut encoded.rows),
            }
            if block.is_full() {
                block.finish(&mut encoded.blocks);
            }
        }
        if !block.is_empty() {
            block.finish(&mut encoded.blocks);
        }
        encoded
    }

    /// The space around the mean of these vectors.
    pub(crate) fn space<'a>(&self, sample: impl Iterator<Item = &'a [u8]>) -> CodeSpace {
        let decoded = sample.map(|bytes| {
            let mut vector = Vec::with_capacity(self.dim);
            quant::decode_row(self.element, bytes, &mut vector);
            vector
        });
        CodeSpace::of_sample(Rotation::new(self.dim, SEED), decoded)
    }
}

/// The codes of consecutive rows.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// The codes of several bits, row after row.
    pub(crate) rows: Vec<u8>,
    /// The one-bit codes in blocks of [`BLOCK_ROWS`].
    pub(crate) blocks: Vec<u8>,
}

impl Encoded {
    pub(crate) fn bytes(&self) -> usize {
        self.rows.len() + self.blocks.len()
    }
}

/// How the names of a memtable are encoded.
#[derive(Debug, Default)]
pub(crate) struct Codings {
    of: Vec<Option<Coding>>,
    /// Set when the first blocks are handed out; none before.
    spaces: Vec<OnceLock<CodeSpace>>,
}

impl Codings {
    /// Those that are given, if blocks of so many rows can be encoded.
    pub(crate) fn new(of: Vec<Option<Coding>>, block_rows: usize) -> Self {
        if !block_rows.is_multiple_of(BLOCK_ROWS) {
            return Self::default();
        }
        Self {
            spaces: of.iter().map(|_| OnceLock::new()).collect(),
            of,
        }
    }

    /// How the vectors of one name are encoded, once they are.
    pub(crate) fn get(&self, index: usize) -> Option<(&Coding, &CodeSpace)> {
        let coding = self.of.get(index)?.as_ref()?;
        Some((coding, self.spaces.get(index)?.get()?))
    }

    /// Chooses the spaces by the vectors of `blocks`, where that is still to be done.
    fn choose(&self, blocks: &[Arc<Block>]) {
        for (index, (coding, space)) in self.of.iter().zip(&self.spaces).enumerate() {
            if let Some(coding) = coding {
                space.get_or_init(|| {
                    let rows = blocks.iter().flat_map(|block| block.vectors_of(index));
                    coding.space(rows.flatten().take(SAMPLE_ROWS))
                });
            }
        }
    }

    /// The blocks from `handed` on to encode now, if they are enough.
    pub(crate) fn due(&self, blocks: &[Arc<Block>], handed: usize) -> Option<Vec<Arc<Block>>> {
        if self.of.iter().all(Option::is_none) {
            return None;
        }
        let full = blocks.len() - usize::from(blocks.last().is_some_and(|last| !last.is_full()));
        if full < handed + JOB_BLOCKS_MIN {
            return None;
        }
        self.choose(&blocks[..full]);
        Some(blocks[handed..full].to_vec())
    }

    /// Makes the codes of a full block, unless it has them; returns the bytes that this took.
    pub(crate) fn encode(&self, block: &Block) -> usize {
        let mut bytes = 0;
        for index in 0..self.of.len() {
            if let (Some((coding, space)), Some(cell)) = (self.get(index), block.codes(index)) {
                cell.get_or_init(|| {
                    let encoded = Arc::new(coding.encode(space, block.vectors_of(index)));
                    bytes += encoded.bytes();
                    encoded
                });
            }
        }
        bytes
    }
}
