//! The storage engine: WAL, memtable, segments, manifests, compaction.

pub mod clock;
pub mod error;
pub mod publish;
pub mod storage;
pub mod sync;
pub mod wal;

pub use error::{Error, ErrorKind, Result};
