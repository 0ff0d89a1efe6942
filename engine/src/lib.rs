//! The storage engine of Cairn: one data directory, its collections, and every byte on disk.
//!
//! It is not a query engine: it hands out snapshots, and `query` decides what to read from them.
//!
//! # The life of a write
//!
//! ```text
//! WriteBatch ── append (write.rs): SeqNo ── WAL ── group sync            DURABLE
//!            └─ apply  (write.rs): older rows dead ── memtable ── publish VISIBLE
//! later, in steps that worker threads pull (worker.rs):
//!   flush   (flush.rs)            sealed memtable ── flat segment ── manifest ── WAL cut
//!   compact (compaction/)         Policy ── Plan ── Job: merge, graph, column, fold, drop
//!   retire  (retire.rs)           files go when no manifest and no snapshot names them
//! ```
//!
//! A reader takes a [`Snapshot`]: one `Arc` of a published state, with no lock held afterwards.
//!
//! # Invariants
//! - What was acknowledged is in the WAL or in a segment, synced.
//! - A point is one live row of one source; `publish` moves from one whole state to the next.
//! - Sealed files never change; what changes is which of them a manifest lists.
//! - Nothing but `storage::disk` touches `std::fs`; time comes from a [`Clock`], randomness from
//!   [`Settings::seed`], background work runs in steps.
//!
//! # Threads and locks
//! `cairn-flush` flushes, `cairn-compact-N` run jobs, `cairn-encode-N` encode vectors,
//! `cairn-build-N` build graphs. Lock order
//! within a shard: `version`, `append`, `apply` (shard.rs). Readers take none.

mod attempt;
mod batch;
mod bits;
mod catalog;
pub mod clock;
mod collection;
mod compaction;
mod db;
mod derived;
pub mod error;
mod field_index;
mod flush;
mod foreign;
mod install;
mod memtable;
mod numbered;
mod patches;
mod payload_cache;
mod payload_reader;
mod placement;
mod pool;
pub mod publish;
mod rate;
mod recover;
mod report;
mod retire;
mod room;
mod row_codes;
mod row_product;
mod scorer;
mod segment;
mod settings;
mod shard;
mod snapshot;
mod source;
mod status;
pub mod storage;
pub mod sync;
mod upkeep;
mod upsert;
mod version;
pub mod wal;
mod worker;
mod write;

pub use batch::WriteBatch;
pub use clock::{Clock, ManualClock, SystemClock};
pub use collection::Collection;
pub use db::Db;
pub use derived::{DerivedColumn, DerivedColumns, DerivedTurn};
pub use error::{Error, ErrorKind, Result};
pub use field_index::FieldIndexReport;
pub use format_spec::RecallPoint;
pub use memtable::MemtableView;
pub use payload_cache::PayloadCacheFigures;
pub use payload_reader::PayloadReader;
pub use placement::{Held, Placement, PlacementReport, Residency, VectorHeld, VectorPlacement};
pub use row_codes::RowCodes;
pub use row_product::RowProduct;
pub use scorer::RowScorer;
pub use settings::Settings;
pub use snapshot::Snapshot;
pub use source::{IdsInOrder, LaterSource, MaybeVector, SegmentView, Source};
pub use status::{Color, Counters, JobReport, JobSegment, Optimizations, SegmentReport, Status};
pub use storage::{BatchedReads, DiskStorage, IoUring, Storage};
pub use upsert::{UpsertRows, VectorError, encode_vector};
pub use worker::StepKind;
pub use write::{Appended, Turn};
