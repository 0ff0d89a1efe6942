//! The bytes Cairn writes: every file format, with its normative text.
//!
//! One chapter, one source file, one golden file, one fuzz target: the text under `docs/` is the
//! documentation of the module that implements it. It is **not** a place for shared types: what
//! is here is in a file or on a replication wire.
//!
//! - Conventions ([`conventions`]), notation, checksums, feature bits, postcard, identifiers.
//! - [`path`], names of files and folders.
//! - [`wal`] and [`wal_ops`], the write-ahead log and the operations in it.
//! - [`manifest`], the whole truth of a shard; [`catalog`], collections, schemas and aliases.
//! - [`value`], payloads.
//! - [`container`], the frame of every part file; [`bitmap`], sets of rows inside parts.
//! - [`rows`], [`vectors`], [`graph`], [`payload`], [`columns`], [`tombstones`], [`patches`]: what
//!   stands in parts. Each has a builder that writes through [`PartWriter`], a layout that owns
//!   offsets only, and a view that borrows the bytes; `layout.view(bytes)` costs nothing, so a
//!   reader
//!   keeps the layout beside its mapping.
//!
//! # Invariants
//! - No I/O, no clock, no thread, no `unsafe`.
//! - Bytes are never trusted: every length is checked before it is used, and no input panics.
//! - Every byte of every file is covered by a checksum, or must be zero and is checked to be.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

pub mod bitmap;
pub mod bytes;
pub mod catalog;
pub mod checksum;
pub mod codes;
pub mod columns;
mod columns_builder;
mod columns_keyword;
mod columns_number;
mod columns_text;
pub mod container;
pub mod envelope;
pub mod error;
mod fields;
pub mod graph;
mod graph_builder;
pub mod ids;
pub mod manifest;
mod op_columns;
mod part_layout;
mod part_writer;
pub mod patches;
pub mod path;
pub mod payload;
mod payload_blocks;
mod place;
mod postings;
pub mod product;
pub mod rows;
pub mod schema;
pub mod statistics;
mod statistics_builder;
mod statistics_filter;
mod statistics_record;
pub mod tombstones;
pub mod value;
mod value_ref;
pub mod vectors;
pub mod verify;
pub mod wal;
pub mod wal_builder;
pub mod wal_ops;
mod wal_scan;

#[doc = include_str!("../docs/00-conventions.md")]
pub mod conventions {}

pub use bitmap::{BitmapLayout, BitmapView};
pub use catalog::{Catalog, CollectionEntry};
pub use codes::{CodesBuilder, CodesLayout, CodesShape, CodesView, Measure};
pub use columns::{
    ColumnBuilder, ColumnLayout, ColumnStats, ColumnValues, ColumnView, Place, Postings, TokenAt,
};
pub use container::{PartHeader, PartIdentity, PartLayout, PartSummary, PartWriter, WriteError};
pub use error::{DecodeError, Why};
pub use graph::{GraphBuilder, GraphHead, GraphLayout, GraphView};
pub use ids::{
    CollectionId, Epoch, PartId, PointId, Row, SegmentId, SeqNo, ShardId, placement_hash,
};
pub use manifest::{PartEntry, PartOrigin, RecallPoint, SegmentEntry, ShardManifest};
pub use patches::{PatchesBuilder, PatchesLayout, PatchesView};
pub use path::PartKind;
pub use payload::{PayloadBuilder, PayloadLayout, PayloadView};
pub use product::{ProductBuilder, ProductLayout, ProductPartShape, ProductView};
pub use rows::{RowsBuilder, RowsLayout, RowsView};
pub use schema::{
    Codec, CompactionSettings, Element, FieldIndex, FieldType, HnswSettings, Metric, Schema,
    VectorSchema,
};
pub use statistics::{
    FieldFigures, FieldRecords, FieldStatistics, Kinds, StatisticsBuilder, StatisticsLayout,
    StatisticsView, Zone, ZoneRecord,
};
pub use tombstones::{TombstonesBuilder, TombstonesLayout, TombstonesView};
pub use value::{ArrayRef, EMPTY_PAYLOAD, ObjectRef, Value, ValueKind, ValueRef};
pub use vectors::{VectorShape, VectorsBuilder, VectorsLayout, VectorsView};
pub use verify::verify_part;
