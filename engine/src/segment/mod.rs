//! Segment: an immutable set of parts, opened.
//!
//! # Invariants
//! - Rows, payload, vectors, tombstones and patches are the truth; damage there sets the segment
//!   aside. Codes, graphs and columns are derived: damaged ones are dropped and built again.
//! - Vectors, codes and graphs are held in schema order; a name no row has is `None`.

pub(crate) mod build;
pub(crate) mod coded;
pub(crate) mod codes;
mod cold;
mod content;
pub(crate) mod gather;
pub(crate) mod made;
mod order;
mod part;
pub(crate) mod product;
pub(crate) mod recall;
pub(crate) mod selected;
mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use format_spec::codes::CodesView;
use format_spec::columns::{ColumnLayout, ColumnView};
use format_spec::container::PartLayout;
use format_spec::graph::{GraphLayout, GraphView};
use format_spec::patches::{PatchesLayout, PatchesView};
use format_spec::payload::{PayloadLayout, PayloadView};
use format_spec::rows::{RowsLayout, RowsView};
use format_spec::statistics::{StatisticsLayout, StatisticsView};
use format_spec::tombstones::{TombstonesLayout, TombstonesView};
use format_spec::vectors::{VectorsLayout, VectorsView};
use format_spec::{
    CollectionId, DecodeError, FieldIndex, PartKind, RecallPoint, Row, Schema, SegmentEntry,
    SegmentId, ShardId, Why,
};

use index::{CodedGraph, ColumnContent};
use quant::{CodeBits, CodeMetric};

use crate::bits::Bits;
use crate::derived::DerivedColumns;
use crate::error::{Error, ErrorKind, Result};
use crate::payload_cache::PayloadCache;
use crate::placement::{Placement, VectorHeld};
use crate::row_codes::RowCodes;
use crate::shard::Surroundings;
use crate::storage::Storage;

pub(crate) use coded::{Coded, CodedRoom};
pub(crate) use codes::OpenCodes;
pub(crate) use part::{Part, Pass, part_path};
pub(crate) use product::OpenProduct;
pub(crate) use writer::{PartPlan, write_part};

/// A part whose offsets are read when it is first needed.
#[derive(Debug)]
struct Lazy<L> {
    part: Arc<Part>,
    layout: OnceLock<L>,
}

impl<L> Lazy<L> {
    fn new(part: Arc<Part>) -> Self {
        Self {
            part,
            layout: OnceLock::new(),
        }
    }

    /// The layout, read by `open` from `bytes` the first time.
    fn layout<'a>(
        &'a self,
        bytes: &'a [u8],
        open: impl FnOnce(&PartLayout, &[u8]) -> Result<L, DecodeError>,
    ) -> Result<&'a L> {
        if let Some(layout) = self.layout.get() {
            return Ok(layout);
        }
        let layout = open(self.part.layout(), bytes).map_err(|error| self.part.damaged(error))?;
        Ok(self.layout.get_or_init(|| layout))
    }
}

/// The vectors of one name in a segment.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Vectors<'a> {
    pub(crate) part: &'a Part,
    pub(crate) layout: &'a VectorsLayout,
    pub(crate) view: VectorsView<'a>,
}

/// The payloads of a segment.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Payloads<'a> {
    pub(crate) part: &'a Part,
    pub(crate) view: PayloadView<'a>,
}

/// The codes of one name, and what they must be to fit the segment.
#[derive(Debug)]
struct NamedCodes {
    lazy: Lazy<OpenCodes>,
    rows: u32,
    dim: u32,
    metric: Option<CodeMetric>,
}

impl NamedCodes {
    /// Figures and centre, read the first time.
    fn open(&self) -> Result<&OpenCodes> {
        let part = &self.lazy.part;
        if self.lazy.layout.get().is_none() {
            part.verify_sections(&format_spec::codes::VERIFIED_BEFORE_OPEN)?;
        }
        self.lazy.layout(part.raw(), |layout, bytes| {
            let open = OpenCodes::open(layout, bytes)?;
            let fits = open.layout.len() == self.rows
                && open.layout.shape().dim == self.dim
                && Some(open.metric()) == self.metric;
            let other = DecodeError::new(0, "codes of the segment", Why::Identity);
            fits.then_some(open).ok_or(other)
        })
    }
}

fn missing(entry: &SegmentEntry, kind: PartKind) -> Error {
    let message = format!("there is no {} part", kind.extension());
    Error::damaged(format!("segment {}", entry.id.0), message)
}

/// An opened segment.
#[derive(Debug)]
pub(crate) struct Segment {
    entry: SegmentEntry,
    parts: Vec<Arc<Part>>,
    rows: Lazy<RowsLayout>,
    /// `None` only where nothing but rows, tombstones and patches is wanted.
    payload: Option<Lazy<PayloadLayout>>,
    vectors: Vec<Option<Lazy<VectorsLayout>>>,
    graphs: Vec<Option<Lazy<GraphLayout>>>,
    codes: Vec<Option<NamedCodes>>,
    products: Vec<Option<Lazy<OpenProduct>>>,
    coded: Vec<OnceLock<Arc<Coded>>>,
    columns: BTreeMap<String, Lazy<ColumnLayout>>,
    statistics: Option<Lazy<StatisticsLayout>>,
    /// Set once it is served.
    derived: OnceLock<Arc<DerivedColumns>>,
    payload_cache: OnceLock<Arc<PayloadCache>>,
    order: order::KnownOrder,
    tombstones: Option<Lazy<TombstonesLayout>>,
    patches: Option<Lazy<PatchesLayout>>,
}

impl Segment {
    /// Opens every part that `entry` lists, reusing those of `known`.
    ///
    /// # Errors
    /// When a part that is not derived is missing or does not open.
    pub(crate) fn open(
        storage: &dyn Storage,
        dir: &str,
        owner: (CollectionId, ShardId),
        entry: SegmentEntry,
        schema: &Schema,
        known: &[Arc<Part>],
    ) -> Result<Self> {
        let mut parts = Vec::with_capacity(entry.parts.len());
        for listed in &entry.parts {
            if let Some(part) = known.iter().find(|part| part.entry() == listed) {
                parts.push(Arc::clone(part));
                continue;
            }
            match Part::open(storage, dir, listed, owner) {
                Ok(part) => parts.push(Arc::new(part)),
                Err(error) if listed.kind.is_derived() => {
                    tracing::warn!(error = %error.chain(), "derived part set aside, to be built again");
                }
                Err(error) => return Err(error),
            }
        }
        if !parts
            .iter()
            .any(|part| part.entry().kind == PartKind::Payload)
        {
            return Err(missing(&entry, PartKind::Payload));
        }
        Self::assemble(entry, schema, parts)
    }

    /// Opens what is needed to note deaths and patches of a segment that cannot be served.
    ///
    /// # Errors
    /// When rows, tombstones or patches do not open or verify.
    pub(crate) fn open_rows(
        storage: &dyn Storage,
        dir: &str,
        owner: (CollectionId, ShardId),
        entry: &SegmentEntry,
        schema: &Schema,
    ) -> Result<Self> {
        let wanted = [PartKind::Rows, PartKind::Tombstones, PartKind::Patch];
        let listed = entry
            .parts
            .iter()
            .filter(|part| wanted.contains(&part.kind));
        let opened = listed.map(|part| Part::open(storage, dir, part, owner).map(Arc::new));
        let parts = opened.collect::<Result<Vec<_>>>()?;
        let segment = Self::assemble(entry.clone(), schema, parts)?;
        segment.rows()?;
        Ok(segment)
    }

    fn assemble(entry: SegmentEntry, schema: &Schema, parts: Vec<Arc<Part>>) -> Result<Self> {
        let of = |kind: PartKind, name: &str| {
            parts
                .iter()
                .find(|p| p.entry().kind == kind && p.entry().name == name)
                .map(Arc::clone)
        };
        let rows = of(PartKind::Rows, "").ok_or_else(|| missing(&entry, PartKind::Rows))?;
        let names = || schema.vectors.iter().map(|vector| vector.name.as_str());
        let columns = parts
            .iter()
            .filter(|part| part.entry().kind == PartKind::Column);
        Ok(Self {
            rows: Lazy::new(rows),
            payload: of(PartKind::Payload, "").map(Lazy::new),
            vectors: names()
                .map(|name| of(PartKind::Vectors, name).map(Lazy::new))
                .collect(),
            graphs: names()
                .map(|name| of(PartKind::Graph, name).map(Lazy::new))
                .collect(),
            coded: names().map(|_| OnceLock::new()).collect(),
            codes: schema
                .vectors
                .iter()
                .map(|vector| {
                    of(PartKind::Codes, &vector.name).map(|part| NamedCodes {
                        lazy: Lazy::new(part),
                        rows: entry.rows,
                        dim: vector.dim,
                        metric: codes::metric_of(vector),
                    })
                })
                .collect(),
            products: names()
                .map(|name| of(PartKind::Product, name).map(Lazy::new))
                .collect(),
            columns: columns
                .map(|part| (part.entry().name.clone(), Lazy::new(Arc::clone(part))))
                .collect(),
            derived: OnceLock::new(),
            payload_cache: OnceLock::new(),
            order: order::KnownOrder::default(),
            statistics: of(PartKind::Statistics, "").map(Lazy::new),
            tombstones: of(PartKind::Tombstones, "").map(Lazy::new),
            patches: of(PartKind::Patch, "").map(Lazy::new),
            entry,
            parts,
        })
    }

    /// What the manifest says.
    pub(crate) fn entry(&self) -> &SegmentEntry {
        &self.entry
    }

    /// Its id.
    pub(crate) fn id(&self) -> SegmentId {
        self.entry.id
    }

    /// Rows, dead ones included.
    pub(crate) fn row_count(&self) -> u32 {
        self.entry.rows
    }

    /// The open files.
    pub(crate) fn parts(&self) -> &[Arc<Part>] {
        &self.parts
    }

    /// The first damage found in a part that is not derived.
    pub(crate) fn damage(&self) -> Option<Error> {
        self.parts
            .iter()
            .filter(|p| !p.entry().kind.is_derived())
            .find_map(|p| p.damage())
    }

    /// The derived parts in which damage was found.
    pub(crate) fn damaged_derived(&self) -> impl Iterator<Item = &Arc<Part>> {
        self.parts
            .iter()
            .filter(|p| p.entry().kind.is_derived() && p.damage().is_some())
    }

    /// Row to id and back.
    ///
    /// # Errors
    /// `Corrupt`, as for every other view of a part.
    pub(crate) fn rows(&self) -> Result<RowsView<'_>> {
        let bytes = self.rows.part.bytes()?;
        Ok(self.rows.layout(bytes, RowsLayout::open)?.view(bytes))
    }

    /// The vectors of one name; the blocks of a row must be verified before its bytes are used.
    pub(crate) fn vectors(&self, vector_index: usize) -> Result<Option<Vectors<'_>>> {
        let Some(Some(lazy)) = self.vectors.get(vector_index) else {
            return Ok(None);
        };
        let layout = self.vectors_layout(lazy)?;
        Ok(Some(Vectors {
            part: &lazy.part,
            layout,
            view: layout.view(lazy.part.raw()),
        }))
    }

    /// The file of one name's vectors.
    pub(crate) fn vectors_part(&self, vector_index: usize) -> Option<&Arc<Part>> {
        self.vectors
            .get(vector_index)?
            .as_ref()
            .map(|lazy| &lazy.part)
    }

    fn vectors_layout<'a>(&'a self, lazy: &'a Lazy<VectorsLayout>) -> Result<&'a VectorsLayout> {
        if let Some(layout) = lazy.layout.get() {
            return Ok(layout);
        }
        lazy.part
            .verify_sections(&format_spec::vectors::VERIFIED_BEFORE_OPEN)?;
        lazy.layout(lazy.part.raw(), VectorsLayout::open)
    }

    /// The graph over one name's vectors.
    pub(crate) fn graph(&self, vector_index: usize) -> Result<Option<GraphView<'_>>> {
        let Some(Some(lazy)) = self.graphs.get(vector_index) else {
            return Ok(None);
        };
        let bytes = lazy.part.bytes()?;
        Ok(Some(lazy.layout(bytes, GraphLayout::open)?.view(bytes)))
    }

    /// The codes of one name's vectors, every block of one-bit codes verified.
    pub(crate) fn codes(&self, vector_index: usize) -> Result<Option<RowCodes<'_>>> {
        match self.codes.get(vector_index) {
            Some(Some(codes)) => RowCodes::segment(&codes.lazy.part, codes.open()?).map(Some),
            _ => Ok(None),
        }
    }

    /// The same to be read row by row; blocks only where there is nothing else.
    pub(crate) fn codes_by_row(&self, vector_index: usize) -> Result<Option<RowCodes<'_>>> {
        match self.codes.get(vector_index) {
            Some(Some(codes)) => RowCodes::segment_rows(&codes.lazy.part, codes.open()?).map(Some),
            _ => Ok(None),
        }
    }

    /// The padded dimension of the codes of one name's vectors.
    pub(crate) fn code_shape(&self, vector_index: usize) -> Result<Option<(usize, CodeBits)>> {
        match self.codes.get(vector_index) {
            Some(Some(codes)) if codes.lazy.part.damage().is_none() => {
                let open = codes.open()?;
                Ok(Some((open.space.padded(), open.bits())))
            }
            _ => Ok(None),
        }
    }

    /// The codes of one name's vectors, every block verified, and what they estimate; damaged ones
    /// count as none.
    pub(crate) fn code_rows(
        &self,
        vector_index: usize,
    ) -> Result<Option<(CodeMetric, CodesView<'_>)>> {
        let Some(Some(codes)) = self.codes.get(vector_index) else {
            return Ok(None);
        };
        let opened = codes.lazy.part.bytes().and_then(|bytes| {
            let open = codes.open()?;
            Ok((open.metric(), open.layout.view(bytes)))
        });
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there are codes of so many bits of one name's vectors that are not known to be
    /// damaged.
    pub(crate) fn has_codes_of(&self, vector_index: usize, bits: CodeBits) -> bool {
        let codes = self.codes.get(vector_index).and_then(Option::as_ref);
        self.has_codes(vector_index)
            && codes.is_some_and(|codes| codes.open().is_ok_and(|open| open.bits() == bits))
    }

    /// The recall that was measured of the codes or the graph of one name's vectors.
    pub(crate) fn recall(&self, kind: PartKind, vector_index: usize) -> &[RecallPoint] {
        let part = if kind == PartKind::Product {
            let product = self.products.get(vector_index).and_then(Option::as_ref);
            product.map(|product| &product.part)
        } else if kind == PartKind::Codes {
            let codes = self.codes.get(vector_index).and_then(Option::as_ref);
            codes.map(|codes| &codes.lazy.part)
        } else {
            let graph = self.graphs.get(vector_index).and_then(Option::as_ref);
            graph.map(|graph| &graph.part)
        };
        part.map_or(&[], |part| &part.entry().recall)
    }

    /// Whether there are codes of one name's vectors that are not known to be damaged.
    pub(crate) fn has_codes(&self, vector_index: usize) -> bool {
        let codes = self.codes.get(vector_index).and_then(Option::as_ref);
        codes.is_some_and(|codes| codes.lazy.part.damage().is_none())
    }

    /// Whether one name's vectors have a graph or codes.
    pub(crate) fn is_indexed(&self, vector_index: usize) -> bool {
        self.has_graph(vector_index)
            || self.has_codes(vector_index)
            || self.has_product(vector_index)
    }

    /// Whether there is a graph over one name's vectors that is not known to be damaged.
    pub(crate) fn has_graph(&self, vector_index: usize) -> bool {
        let graph = self.graphs.get(vector_index).and_then(Option::as_ref);
        graph.is_some_and(|lazy| lazy.part.damage().is_none())
    }

    /// The column of one field index.
    pub(crate) fn column(&self, path: &str) -> Result<Option<ColumnView<'_>>> {
        let Some(lazy) = self.columns.get(path) else {
            return Ok(None);
        };
        let bytes = lazy.part.bytes()?;
        Ok(Some(lazy.layout(bytes, ColumnLayout::open)?.view(bytes)))
    }

    /// What values lie where in the payloads.
    pub(crate) fn statistics(&self) -> Result<Option<StatisticsView<'_>>> {
        let Some(lazy) = &self.statistics else {
            return Ok(None);
        };
        let bytes = lazy.part.bytes()?;
        let layout = lazy.layout(bytes, |layout, bytes| {
            let open = StatisticsLayout::open(layout, bytes)?;
            let other = DecodeError::new(0, "statistics of the segment", Why::Identity);
            (open.len() == self.entry.rows).then_some(open).ok_or(other)
        })?;
        Ok(Some(layout.view(bytes)))
    }

    /// The columns that queries make of the payloads, if the segment is served.
    pub(crate) fn derived(&self) -> Option<&Arc<DerivedColumns>> {
        self.derived.get()
    }

    /// Begins to serve the segment: with the derived columns of `before`, the same segment with
    /// other parts, if the payloads are the same.
    pub(crate) fn serve(&self, around: &Surroundings, before: Option<&Self>) {
        let payload = |segment: &Self| {
            let lazy = segment.payload.as_ref();
            lazy.map(|lazy| lazy.part.entry().id)
        };
        let before = before.filter(|before| payload(before) == payload(self));
        if let Some(before) = before {
            self.order.copy(&before.order);
        }
        let derived = before.and_then(|before| before.derived.get().cloned());
        let room = &around.derived_room;
        let derived = derived.unwrap_or_else(|| Arc::new(DerivedColumns::new(room)));
        // A segment is served once.
        drop(self.derived.set(derived));
        drop(self.payload_cache.set(Arc::clone(&around.payload_cache)));
    }

    /// Where payload blocks of hits are kept, and what tells those of this segment from others;
    /// `None` while it is not served.
    pub(crate) fn payload_cache(&self) -> Option<(&PayloadCache, u128)> {
        let hash = &self.payload.as_ref()?.part.entry().hash;
        let part = u128::from_le_bytes(*hash.first_chunk()?);
        Some((self.payload_cache.get()?, part))
    }

    /// Whether there are statistics that are not known to be damaged.
    pub(crate) fn has_statistics(&self) -> bool {
        let found = self.statistics.as_ref();
        found.is_some_and(|lazy| lazy.part.damage().is_none())
    }

    /// Whether there is a usable column of an index: one of another content is what is left of an
    /// index that was dropped or changed.
    pub(crate) fn has_column(&self, field: &FieldIndex) -> bool {
        let (Ok(Some(column)), Ok(content)) = (self.column(&field.path), ColumnContent::of(field))
        else {
            return false;
        };
        let wanted = (content.field_type(), content.settings_hash());
        (column.stats().field_type, column.stats().settings) == wanted
    }

    /// Payload blocks; a block must be verified before its bytes are used.
    pub(crate) fn payload(&self) -> Result<Payloads<'_>> {
        let lazy = self.payload.as_ref();
        let lazy = lazy.ok_or_else(|| missing(&self.entry, PartKind::Payload))?;
        let part = &*lazy.part;
        if lazy.layout.get().is_none() {
            part.verify_sections(&format_spec::payload::VERIFIED_BEFORE_OPEN)?;
        }
        Ok(Payloads {
            part,
            view: lazy
                .layout(part.raw(), PayloadLayout::open)?
                .view(part.raw()),
        })
    }

    /// The patches that a flush has written.
    pub(crate) fn patches(&self) -> Result<Option<PatchesView<'_>>> {
        let Some(lazy) = &self.patches else {
            return Ok(None);
        };
        let bytes = lazy.part.bytes()?;
        Ok(Some(lazy.layout(bytes, PatchesLayout::open)?.view(bytes)))
    }

    /// The file of the patches.
    pub(crate) fn patch_part(&self) -> Option<&Arc<Part>> {
        self.patches.as_ref().map(|lazy| &lazy.part)
    }

    fn tombstones(&self) -> Result<Option<TombstonesView<'_>>> {
        let Some(lazy) = &self.tombstones else {
            return Ok(None);
        };
        let bytes = lazy.part.bytes()?;
        Ok(Some(
            lazy.layout(bytes, TombstonesLayout::open)?.view(bytes),
        ))
    }

    /// The dead rows that the tombstones part has.
    pub(crate) fn read_tombstones(&self) -> Result<Bits> {
        let view = self.tombstones()?;
        let rows: Vec<Row> = view.iter().flat_map(|view| view.dead().iter()).collect();
        Ok(Bits::from_rows(self.row_count(), rows.into_iter()))
    }

    /// The rows that the patch part has.
    pub(crate) fn read_patched_rows(&self) -> Result<Bits> {
        let view = self.patches()?;
        let rows: Vec<Row> = view.iter().flat_map(|view| view.rows()).collect();
        Ok(Bits::from_rows(self.row_count(), rows.into_iter()))
    }

    /// Holds every part as `placement` says.
    pub(crate) fn place(&self, storage: &dyn Storage, placement: &Placement) {
        for part in &self.parts {
            let entry = part.entry();
            part.place(storage, placement.of(entry.kind, &entry.name));
        }
    }

    /// Begins to read the cold parts from start to end.
    pub(crate) fn passes(&self) -> Vec<Pass> {
        self.parts.iter().filter_map(Part::pass).collect()
    }

    /// Lets what the page cache has of the cold parts go: they were just written.
    pub(crate) fn drop_cached(&self) {
        self.parts.iter().for_each(|part| part.drop_cached());
    }

    /// Adds where the bytes of one name are to `held`.
    pub(crate) fn add_held(&self, vector_index: usize, held: &mut VectorHeld) {
        for part in &self.parts {
            if part.entry().name == held.name
                && let Some(place) = held.of(part.entry().kind)
            {
                place.add(part.held());
            }
        }
        let coded = self.coded(vector_index).map_or(0, CodedGraph::bytes);
        held.graph.resident += coded as u64;
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.entry.parts.iter().map(|part| part.len).sum()
    }
}
