//! The storage engine: WAL, memtable, segments, manifests, compaction.
