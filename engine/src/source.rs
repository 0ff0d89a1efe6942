//! Source: one segment or memtable of a snapshot, read the same way.

use std::borrow::Cow;
use std::sync::{Arc, Weak};

use format_spec::columns::ColumnView;
use format_spec::graph::GraphView;
use format_spec::statistics::StatisticsView;
use format_spec::{PartKind, PointId, RecallPoint, Row, SegmentId, SeqNo};
use index::{CodedGraph, RowSet};
use quant::{CodeBits, Query};

use crate::bits::Bits;
use crate::derived::DerivedColumns;
use crate::error::{Error, Result};
use crate::memtable::MemtableView;
use crate::patches::Patches;
use crate::payload_reader::PayloadReader;
use crate::row_codes::RowCodes;
use crate::row_product::RowProduct;
use crate::scorer::RowScorer;
use crate::segment::{Segment, Vectors};
use crate::version::SegmentState;

/// A segment as a snapshot sees it.
#[derive(Clone, Debug)]
pub struct SegmentView(pub(crate) Arc<SegmentState>);

/// Rows of a snapshot that lie together.
#[derive(Clone, Debug)]
pub enum Source {
    /// Rows not yet in a segment.
    Memtable(MemtableView),
    /// A sealed segment.
    Segment(SegmentView),
}

/// The payloads of a source as they were written, to be read later, for as long as anybody else
/// may want what is made of them.
#[derive(Clone, Debug)]
pub struct LaterSource(Later);

#[derive(Clone, Debug)]
enum Later {
    Memtable(MemtableView),
    /// Its files are not kept.
    Segment(Weak<Segment>),
}

/// A vector in element encoding, of a row that may have none.
pub type MaybeVector<'a> = Option<Cow<'a, [u8]>>;

/// Ids in order, with their rows.
pub type IdsInOrder<'a> = Box<dyn Iterator<Item = Result<(PointId, Row)>> + 'a>;

impl Source {
    pub(crate) fn segment(state: Arc<SegmentState>) -> Self {
        Self::Segment(SegmentView(state))
    }

    /// Rows, dead ones included: rows are `0..rows()`.
    pub fn rows(&self) -> u32 {
        match self {
            Self::Memtable(view) => view.rows(),
            Self::Segment(view) => view.0.segment.row_count(),
        }
    }

    /// Rows that live.
    pub fn live_count(&self) -> u32 {
        match self {
            Self::Memtable(view) => view.live_count(),
            Self::Segment(view) => view.0.live_count(),
        }
    }

    /// Whether `row` lives.
    pub fn is_live(&self, row: Row) -> bool {
        match self {
            Self::Memtable(view) => view.is_live(row),
            Self::Segment(view) => row < view.0.segment.row_count() && !view.0.dead.get(row),
        }
    }

    /// The rows that live, copied.
    pub fn live(&self) -> RowSet {
        match self {
            Self::Memtable(view) if view.live_count() == view.rows() => RowSet::full(view.rows()),
            Self::Memtable(view) => {
                let mut rows = RowSet::new(view.rows());
                (0..view.rows())
                    .filter(|&row| view.is_live(row))
                    .for_each(|row| {
                        rows.insert(row);
                    });
                rows
            }
            Self::Segment(view) if view.0.dead.count() == 0 => {
                RowSet::full(view.0.segment.row_count())
            }
            Self::Segment(view) => {
                let mut rows = RowSet::full(view.0.segment.row_count());
                rows.and_not(&view.0.dead.to_row_set());
                rows
            }
        }
    }

    /// The id of `row`.
    ///
    /// # Errors
    /// `Corrupt` when the rows part does not verify, here and in the methods below; `Invalid`
    /// when there is no such row.
    pub fn id(&self, row: Row) -> Result<PointId> {
        let id = match self {
            Self::Memtable(view) => view.id(row),
            Self::Segment(view) => view.0.segment.rows()?.id(row),
        };
        id.ok_or_else(|| no_row(row))
    }

    /// The operation that wrote or last patched `row`.
    ///
    /// # Errors
    /// As [`Self::id`].
    pub fn seqno(&self, row: Row) -> Result<SeqNo> {
        let seqno = match self {
            Self::Memtable(view) => view.born(row),
            Self::Segment(view) => view.seqno(row)?,
        };
        seqno.ok_or_else(|| no_row(row))
    }

    /// The live row of `id`.
    ///
    /// # Errors
    /// As [`Self::id`].
    pub fn row_of(&self, id: PointId) -> Result<Option<Row>> {
        match self {
            Self::Memtable(view) => Ok(view.row_of(id)),
            Self::Segment(view) => view.0.row_of(id),
        }
    }

    /// The live rows in the order of their ids, from `start` on.
    pub fn ids_from(&self, start: Option<PointId>) -> IdsInOrder<'_> {
        match self {
            Self::Memtable(view) => Box::new(view.ids_from(start).map(Ok)),
            Self::Segment(view) => view.ids_from(start),
        }
    }

    /// A vector of `row` in element encoding; `vector_index` counts in schema order.
    ///
    /// # Errors
    /// `Corrupt` when the vectors part does not verify.
    pub fn vector(&self, vector_index: usize, row: Row) -> Result<Option<Cow<'_, [u8]>>> {
        match self {
            Self::Memtable(view) => Ok(view.vector(vector_index, row).map(Cow::Borrowed)),
            Self::Segment(view) => view.vector(vector_index, row),
        }
    }

    /// As [`Self::vector`] for many rows, in their order: where they are cold, read at once.
    ///
    /// # Errors
    /// As [`Self::vector`].
    pub fn vectors(&self, vector_index: usize, rows: &[Row]) -> Result<Vec<MaybeVector<'_>>> {
        match self {
            Self::Segment(view) if self.is_cold(vector_index)? => view.fetch(vector_index, rows),
            Self::Memtable(_) | Self::Segment(_) => rows
                .iter()
                .map(|&row| self.vector(vector_index, row))
                .collect(),
        }
    }

    /// As [`Self::vector`], through the map whether cold or not: for a pass over all rows.
    pub(crate) fn mapped_vector(&self, vector_index: usize, row: Row) -> Result<Option<&[u8]>> {
        match self {
            Self::Memtable(view) => Ok(view.vector(vector_index, row)),
            Self::Segment(view) => view.mapped_vector(vector_index, row),
        }
    }

    /// Whether the vectors are on disk and read when needed.
    ///
    /// # Errors
    /// As [`Self::vector`].
    pub fn is_cold(&self, vector_index: usize) -> Result<bool> {
        match self {
            Self::Memtable(_) => Ok(false),
            Self::Segment(view) => {
                let vectors = view.0.segment.vectors(vector_index)?;
                Ok(vectors.is_some_and(|vectors| vectors.part.is_cold()))
            }
        }
    }

    /// Whether `row` has the vector.
    ///
    /// # Errors
    /// As [`Self::vector`].
    pub fn has_vector(&self, vector_index: usize, row: Row) -> Result<bool> {
        match self {
            Self::Memtable(view) => Ok(view.has_vector(vector_index, row)),
            Self::Segment(view) => {
                let vectors = view.0.segment.vectors(vector_index)?;
                Ok(vectors.is_some_and(|vectors| vectors.view.is_present(row)))
            }
        }
    }

    /// How many rows, dead or alive, have the vector; `None` when that is not known at once.
    ///
    /// # Errors
    /// As [`Self::vector`].
    pub fn present_count(&self, vector_index: usize) -> Result<Option<u32>> {
        match self {
            Self::Memtable(view) if view.is_complete(vector_index) => Ok(Some(view.rows())),
            Self::Memtable(_) => Ok(None),
            Self::Segment(view) => {
                let vectors = view.0.segment.vectors(vector_index)?;
                Ok(Some(
                    vectors.map_or(0, |vectors| vectors.view.present_count()),
                ))
            }
        }
    }

    /// The rows, dead or alive, that have the vector; `None` when all have it.
    ///
    /// # Errors
    /// As [`Self::vector`].
    pub fn present(&self, vector_index: usize) -> Result<Option<RowSet>> {
        let rows = self.rows();
        match self {
            Self::Memtable(view) if view.is_complete(vector_index) => Ok(None),
            Self::Memtable(view) => {
                let mut present = RowSet::new(rows);
                (0..rows)
                    .filter(|&row| view.has_vector(vector_index, row))
                    .for_each(|row| {
                        present.insert(row);
                    });
                Ok(Some(present))
            }
            Self::Segment(view) => {
                let Some(vectors) = view.0.segment.vectors(vector_index)? else {
                    return Ok(Some(RowSet::new(rows)));
                };
                if vectors.view.present_count() == rows {
                    return Ok(None);
                }
                let words = vectors.view.present().to_words();
                let present = RowSet::from_words(rows, words);
                present
                    .map(Some)
                    .map_err(|error| Error::corrupt(vectors.part.path(), error))
            }
        }
    }

    /// Distances from `query` to the rows of this source.
    ///
    /// # Errors
    /// As [`Self::vector`]; damage found while scoring shows in [`RowScorer::check`].
    pub fn scorer<'a>(&'a self, vector_index: usize, query: &'a Query) -> Result<RowScorer<'a>> {
        match self {
            Self::Memtable(view) => Ok(RowScorer::memtable(view, vector_index, query)),
            Self::Segment(view) => RowScorer::segment(&view.0.segment, vector_index, query),
        }
    }

    /// Compressed blocks that the payloads are in; none in memory.
    ///
    /// # Errors
    /// As [`Self::vector`], of payloads.
    pub fn payload_blocks(&self) -> Result<u32> {
        match self {
            Self::Memtable(_) => Ok(0),
            Self::Segment(view) => Ok(view.0.segment.payload()?.view.block_count()),
        }
    }

    /// Reads payloads, row after row.
    pub fn payloads(&self) -> PayloadReader<'_> {
        PayloadReader::new(self)
    }

    /// As [`Self::payloads`], of hits: what they ask for is kept for those that come next.
    pub fn hit_payloads(&self) -> PayloadReader<'_> {
        PayloadReader::keeping(self)
    }

    /// As [`Self::payloads`], but of rows in [`Self::patched`] what was there before: what columns
    /// and statistics are about.
    pub fn unpatched_payloads(&self) -> PayloadReader<'_> {
        PayloadReader::unpatched(self)
    }

    /// As [`Self::payloads`], through the map whether cold or not: for a pass over all rows.
    pub(crate) fn mapped_payloads(&self) -> PayloadReader<'_> {
        PayloadReader::mapped(self)
    }

    /// The graph over a vector's rows, if there is one.
    ///
    /// # Errors
    /// `Corrupt` when it does not verify; the rows can still be scanned.
    pub fn graph(&self, vector_index: usize) -> Result<Option<GraphView<'_>>> {
        match self {
            Self::Memtable(_) => Ok(None),
            Self::Segment(view) => view.0.segment.graph(vector_index),
        }
    }

    /// The codes of a vector, if this source has them; some rows of a memtable may have none yet.
    ///
    /// # Errors
    /// `Corrupt` when they do not verify; the vectors can still be scanned.
    pub fn codes(&self, vector_index: usize) -> Result<Option<RowCodes<'_>>> {
        match self {
            Self::Memtable(view) => Ok(view.codes(vector_index).map(RowCodes::memtable)),
            Self::Segment(view) => view.0.segment.codes(vector_index),
        }
    }

    /// The same to be read row by row; blocks only where there is nothing else.
    ///
    /// # Errors
    /// As [`Self::codes`].
    pub fn codes_by_row(&self, vector_index: usize) -> Result<Option<RowCodes<'_>>> {
        match self {
            Self::Memtable(_) => self.codes(vector_index),
            Self::Segment(view) => view.0.segment.codes_by_row(vector_index),
        }
    }

    /// The product codes of a vector, if this source has them.
    ///
    /// # Errors
    /// As [`Self::codes`].
    pub fn product(&self, vector_index: usize) -> Result<Option<RowProduct<'_>>> {
        match self {
            Self::Memtable(_) => Ok(None),
            Self::Segment(view) => view.0.segment.product(vector_index),
        }
    }

    /// Bytes of a row of the product codes of a vector, if this source has them.
    ///
    /// # Errors
    /// As [`Self::codes`].
    pub fn product_len(&self, vector_index: usize) -> Result<Option<usize>> {
        match self {
            Self::Memtable(_) => Ok(None),
            Self::Segment(view) => view.0.segment.product_len(vector_index),
        }
    }

    /// The padded dimension of the codes of a vector and the bits of those that refine them, if
    /// this source has codes for most of its rows.
    ///
    /// # Errors
    /// As [`Self::codes`].
    pub fn code_shape(&self, vector_index: usize) -> Result<Option<(usize, CodeBits)>> {
        match self {
            Self::Memtable(view) => Ok(view.code_shape(vector_index)),
            Self::Segment(view) => view.0.segment.code_shape(vector_index),
        }
    }

    /// The recall that was measured when the codes of a vector were made; empty without codes, or
    /// where there was too little to measure.
    pub fn known_recall_of_codes(&self, vector_index: usize) -> &[RecallPoint] {
        match self {
            Self::Memtable(_) => &[],
            Self::Segment(view) => view.0.segment.recall(PartKind::Codes, vector_index),
        }
    }

    /// The same of the product codes of a vector.
    pub fn known_recall_of_product(&self, vector_index: usize) -> &[RecallPoint] {
        match self {
            Self::Memtable(_) => &[],
            Self::Segment(view) => view.0.segment.recall(PartKind::Product, vector_index),
        }
    }

    /// The same of the graph over a vector's rows.
    pub fn known_recall_of_graph(&self, vector_index: usize) -> &[RecallPoint] {
        match self {
            Self::Memtable(_) => &[],
            Self::Segment(view) => view.0.segment.recall(PartKind::Graph, vector_index),
        }
    }

    /// The graph of a vector with codes in its nodes, if it is in memory.
    pub fn coded_graph(&self, vector_index: usize) -> Option<&CodedGraph> {
        match self {
            Self::Memtable(_) => None,
            Self::Segment(view) => view.0.segment.coded(vector_index),
        }
    }

    /// The column of a field index, if this source has it. Rows in [`Self::patched`] must be
    /// evaluated on their payload instead.
    ///
    /// # Errors
    /// `Corrupt` when it does not verify; the payloads can still be read.
    pub fn column(&self, path: &str) -> Result<Option<ColumnView<'_>>> {
        match self {
            Self::Memtable(_) => Ok(None),
            Self::Segment(view) => view.0.segment.column(path),
        }
    }

    /// Which values lie where in the payloads, if this source knows. Rows in [`Self::patched`] may
    /// have others.
    ///
    /// # Errors
    /// As [`Self::column`].
    pub fn statistics(&self) -> Result<Option<StatisticsView<'_>>> {
        match self {
            Self::Memtable(_) => Ok(None),
            Self::Segment(view) => view.0.segment.statistics(),
        }
    }

    /// The columns that queries have made of fields without an index, and may make. Of rows in
    /// [`Self::patched`] they have what was there before; those of a memtable may have fewer rows
    /// than it, or more than this snapshot of it.
    pub fn derived(&self) -> Option<&Arc<DerivedColumns>> {
        match self {
            Self::Memtable(view) => view.derived(),
            Self::Segment(view) => view.0.segment.derived(),
        }
    }

    /// The rows whose payload was replaced after the columns were built.
    pub fn patched(&self) -> Option<RowSet> {
        match self {
            Self::Memtable(_) => None,
            Self::Segment(view) => {
                let rows = &view.0.patches.rows;
                (rows.count() > 0).then(|| rows.to_row_set())
            }
        }
    }

    /// The payloads for later.
    pub fn for_later(&self) -> LaterSource {
        LaterSource(match self {
            Self::Memtable(view) => Later::Memtable(view.clone()),
            Self::Segment(view) => Later::Segment(Arc::downgrade(&view.0.segment)),
        })
    }

    /// Which segment it is.
    pub fn segment_id(&self) -> Option<SegmentId> {
        match self {
            Self::Memtable(_) => None,
            Self::Segment(view) => Some(view.0.segment.id()),
        }
    }
}

pub(crate) fn no_row(row: Row) -> Error {
    Error::invalid("read", format!("no row {row}"))
}

impl LaterSource {
    /// The memtable, or the segment with none of its rows dead or patched; `None` once a memtable
    /// has become a segment, or a segment was merged, dropped or given other parts, and the
    /// last snapshot of it is gone.
    pub fn open(&self) -> Option<Source> {
        let segment = match &self.0 {
            Later::Memtable(view) if view.is_gone() => return None,
            Later::Memtable(view) => return Some(Source::Memtable(view.clone())),
            Later::Segment(segment) => segment.upgrade()?,
        };
        let rows = segment.row_count();
        Some(Source::segment(Arc::new(SegmentState {
            segment,
            dead: Bits::new(rows),
            patches: Patches::new(rows),
            persisted_dead: Bits::new(rows),
        })))
    }
}

impl SegmentView {
    fn seqno(&self, row: Row) -> Result<Option<SeqNo>> {
        if self.0.patches.rows.get(row) {
            if let Some(patch) = self.0.patches.delta.get(row) {
                return Ok(Some(patch.seqno));
            }
            if let Some(view) = self.0.segment.patches()? {
                return Ok(view.position(row).and_then(|position| view.seqno(position)));
            }
        }
        Ok(self.0.segment.rows()?.seqno(row))
    }

    fn mapped_vector(&self, vector_index: usize, row: Row) -> Result<Option<&[u8]>> {
        match self.0.segment.vectors(vector_index)? {
            Some(vectors) => mapped(&vectors, row),
            None => Ok(None),
        }
    }

    fn vector(&self, vector_index: usize, row: Row) -> Result<MaybeVector<'_>> {
        let Some(vectors) = self.0.segment.vectors(vector_index)? else {
            return Ok(None);
        };
        if vectors.part.is_cold() {
            let fetched = self.fetch(vector_index, &[row])?;
            return Ok(fetched.into_iter().next().flatten());
        }
        Ok(mapped(&vectors, row)?.map(Cow::Borrowed))
    }

    /// Reads the vectors of rows from the file, or through the map where there is no other way.
    fn fetch(&self, vector_index: usize, rows: &[Row]) -> Result<Vec<MaybeVector<'_>>> {
        let Some(vectors) = self.0.segment.vectors(vector_index)? else {
            return Ok(vec![None; rows.len()]);
        };
        let Some(file) = vectors.part.cold_file() else {
            let one = |&row: &Row| Ok(mapped(&vectors, row)?.map(Cow::Borrowed));
            return rows.iter().map(one).collect();
        };
        let present = |at: &usize| vectors.view.is_present(rows[*at]);
        let places: Vec<usize> = (0..rows.len()).filter(present).collect();
        let range = |&at: &usize| vectors.layout.row_range(rows[at]);
        let ranges: Vec<_> = places.iter().map(range).collect();
        let mut found = vec![None; rows.len()];
        vectors.part.fetch(&file, &ranges, |number, bytes| {
            found[places[number]] = Some(Cow::Owned(bytes.to_vec()));
        })?;
        Ok(found)
    }

    fn ids_from(&self, start: Option<PointId>) -> IdsInOrder<'_> {
        let view = match self.0.segment.rows() {
            Ok(view) => view,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let first = start.map_or(0, |id| view.rank_of_first_ge(id));
        let rows = (first..view.len()).filter_map(move |rank| {
            let row = view.by_rank(rank)?;
            (!self.0.dead.get(row))
                .then(|| view.id(row).map(|id| Ok((id, row))))
                .flatten()
        });
        Box::new(rows)
    }
}

/// The vector of a row in the map, its blocks verified.
fn mapped<'a>(vectors: &Vectors<'a>, row: Row) -> Result<Option<&'a [u8]>> {
    if !vectors.view.is_present(row) {
        return Ok(None);
    }
    vectors.part.bytes_in(vectors.layout.row_range(row))?;
    Ok(vectors.view.row(row))
}
