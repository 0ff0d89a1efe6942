//! What an operator sets once for the whole engine; what belongs to a collection is in its Schema.

/// Settings of one data directory.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Size of one preallocated WAL file in bytes; a larger record gets a file of its own size.
    pub wal_file_bytes: u64,
    /// A memtable is sealed when it holds this many bytes. A collection may ask for less.
    pub memtable_bytes_max: u64,
    /// Sealed memtables that may wait for their flush before writers are held back.
    pub sealed_memtables_max: usize,
    /// Below this much free disk space growing writes are refused.
    pub soft_free_bytes: u64,
    /// Vectors of a segment and name get codes from this many bytes on; fewer are compared as fast.
    pub codes_bytes_min: u64,
    /// Vectors that have codes get a graph from this many rows on; fewer are scanned as fast.
    pub graph_rows_min: u64,
    /// Bytes of memory for graphs with codes in their nodes; segments beyond have their lists alone
    /// there, and those beyond these nothing.
    pub coded_graph_bytes_max: u64,
    /// Bytes of memory for columns that queries make of fields without an index.
    pub derived_bytes_max: u64,
    /// Bytes of memory for decompressed payload blocks of recent hits.
    pub payload_cache_bytes_max: u64,
    /// Threads of the pool that encodes vectors and builds graphs.
    pub build_threads: usize,
    /// Background threads; with 0 the caller runs the steps itself (`Db::step`).
    pub workers: usize,
    /// The seed that every random choice of the engine is drawn from.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wal_file_bytes: 32 << 20,
            memtable_bytes_max: 64 << 20,
            sealed_memtables_max: 4,
            soft_free_bytes: 256 << 20,
            codes_bytes_min: 1 << 20,
            graph_rows_min: 500_000,
            coded_graph_bytes_max: 2 << 30,
            derived_bytes_max: 256 << 20,
            payload_cache_bytes_max: 64 << 20,
            build_threads: std::thread::available_parallelism().map_or(2, usize::from),
            workers: 2,
            seed: 0x0043_6169_726e,
        }
    }
}
