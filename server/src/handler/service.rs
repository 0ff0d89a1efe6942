//! The server itself: its name, its health, its metrics.

use hyper::StatusCode;
use serde::Serialize;

use super::Call;
use crate::error::ApiError;
use crate::reply::Reply;
use crate::telemetry::{Labels, Scrape, process};

/// The version of Qdrant's API that this server speaks: what clients compare with their own.
pub(crate) const API_VERSION: &str = "1.19.0";
/// Compared word by word by some clients.
const TITLE: &str = "qdrant - vector search engine";

#[derive(Serialize)]
struct Root {
    title: &'static str,
    version: &'static str,
    /// What answers in truth.
    cairn: Cairn,
}

#[derive(Serialize)]
struct Cairn {
    version: &'static str,
}

/// `GET /`, outside of the envelope.
pub(crate) fn root(_: &Call) -> Result<Reply, ApiError> {
    Reply::json(&Root {
        title: TITLE,
        version: API_VERSION,
        cairn: Cairn {
            version: env!("CARGO_PKG_VERSION"),
        },
    })
}

/// `GET /healthz` and `GET /livez`: the process answers.
pub(crate) fn healthz(_: &Call) -> Result<Reply, ApiError> {
    Ok(Reply::text("healthz check passed"))
}

/// `GET /readyz`: requests will be served. The server listens only after recovery, so what is
/// left to say is whether every collection came out of it, and whether the server is about to
/// stop.
pub(crate) fn readyz(call: &Call) -> Result<Reply, ApiError> {
    if call.state.is_stopping() || !call.state.db.failed().is_empty() {
        let reply = Reply::text("some shards are not ready");
        return Ok(reply.with_status(StatusCode::SERVICE_UNAVAILABLE));
    }
    Ok(Reply::text("all shards are ready"))
}

/// A figure for each collection: name, help, value.
type Figure<T> = (&'static str, &'static str, fn(&T) -> f64);

const OF_STATUS: &[Figure<engine::Status>] = &[
    ("collection_points", "Live points", |s| s.points as f64),
    (
        "collection_indexed_vectors",
        "Vectors that a graph covers",
        |s| s.indexed_vectors as f64,
    ),
    (
        "collection_update_queue_length",
        "Writes that are durable and not yet visible",
        |s| s.queue_length as f64,
    ),
    ("cairn_collection_segments", "Segments", |s| {
        s.segments as f64
    }),
    (
        "cairn_collection_damaged_segments",
        "Segments set aside because their files are damaged",
        |s| s.damaged.len() as f64,
    ),
];

const GAUGES: &[Figure<engine::Counters>] = &[
    (
        "cairn_write_amplification",
        "Bytes written to disk for each byte ingested, since the start",
        engine::Counters::write_amplification,
    ),
    (
        "cairn_space_amplification",
        "Bytes of segments for each byte that belongs to a live point",
        engine::Counters::space_amplification,
    ),
    (
        "cairn_compaction_debt_bytes",
        "Bytes of the inputs of all jobs that are due",
        |c| c.debt_bytes as f64,
    ),
    ("cairn_wal_disk_bytes", "Bytes of log files on disk", |c| {
        c.wal_disk_bytes as f64
    }),
    ("cairn_segment_bytes", "Bytes of segment files", |c| {
        c.segment_bytes as f64
    }),
    (
        "cairn_memtable_bytes",
        "Bytes of memtables and patches in memory",
        |c| c.memtable_bytes as f64,
    ),
    (
        "cairn_derived_column_bytes",
        "Bytes in memory of columns made for filters on fields without an index",
        |c| c.derived_bytes as f64,
    ),
    (
        "cairn_retired_files",
        "Files that wait for their last reader",
        |c| c.retired_files as f64,
    ),
];

/// Totals since the start of the process; their names get `_total` at the end.
const COUNTERS: &[Figure<engine::Counters>] = &[
    (
        "cairn_ingested_bytes",
        "Bytes of operations given to the log",
        |c| c.ingested_bytes as f64,
    ),
    ("cairn_wal_written_bytes", "Bytes the log wrote", |c| {
        c.wal_bytes as f64
    }),
    ("cairn_wal_syncs", "Syncs of the log", |c| {
        c.wal_syncs as f64
    }),
    ("cairn_flushed_bytes", "Bytes that flushes wrote", |c| {
        c.flushed_bytes as f64
    }),
    (
        "cairn_compacted_bytes",
        "Bytes that compaction wrote",
        |c| c.compacted_bytes as f64,
    ),
    (
        "cairn_writes_refused_disk_full",
        "Writes refused because the disk was full",
        |c| c.refused_disk_full as f64,
    ),
];

/// What is known of one collection at a scrape.
struct Sample {
    name: String,
    status: engine::Status,
    counters: engine::Counters,
    running: usize,
}

impl Sample {
    fn labels(&self) -> Labels {
        vec![("id", self.name.clone())]
    }
}

/// `GET /metrics`.
pub(crate) fn metrics(call: &Call) -> Result<Reply, ApiError> {
    let state = &call.state;
    let samples: Vec<Sample> = state
        .db
        .collections()
        .iter()
        .map(|collection| Sample {
            name: collection.name().to_owned(),
            status: collection.status(),
            counters: collection.counters(),
            running: collection.optimizations().running.len(),
        })
        .collect();
    let mut scrape = Scrape::default();
    let app = vec![
        ("name", "qdrant".to_owned()),
        ("version", API_VERSION.to_owned()),
        ("cairn_version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    scrape.gauges("app_info", "What runs", [(app, 1.0)]);
    scrape.one("cluster_enabled", "Whether this is a cluster", 0.0);
    scrape.one(
        "collections_total",
        "Collections that are open",
        samples.len() as f64,
    );
    let help = "Collections that do not open";
    scrape.one(
        "cairn_collections_failed",
        help,
        state.db.failed().len() as f64,
    );
    for (name, help, figure) in OF_STATUS {
        let values = samples
            .iter()
            .map(|sample| (sample.labels(), figure(&sample.status)));
        scrape.gauges(name, help, values);
    }
    for (name, help, figure) in GAUGES {
        let values = samples
            .iter()
            .map(|sample| (sample.labels(), figure(&sample.counters)));
        scrape.gauges(name, help, values);
    }
    for (name, help, figure) in COUNTERS {
        let values = samples
            .iter()
            .map(|sample| (sample.labels(), figure(&sample.counters)));
        scrape.counters(name, help, values);
    }
    let running = samples
        .iter()
        .map(|sample| (sample.labels(), sample.running as f64));
    scrape.gauges(
        "collection_running_optimizations",
        "Compaction jobs that run",
        running,
    );
    let help = "Time that writers were held back, by reason";
    let stalls = samples.iter().flat_map(stalls);
    scrape.counters("cairn_write_stall_seconds", help, stalls);
    cold_reads(&mut scrape, state.db.batched_reads());
    payload_cache(&mut scrape, state.db.payload_cache());
    process(&mut scrape);
    let mut text = String::new();
    scrape.encode(&mut text).map_err(ApiError::internal)?;
    state
        .telemetry
        .encode(&mut text)
        .map_err(ApiError::internal)?;
    Ok(Reply::text(text))
}

fn payload_cache(scrape: &mut Scrape, figures: engine::PayloadCacheFigures) {
    let help = "Bytes of payload blocks kept for the next hits";
    scrape.gauges(
        "cairn_payload_cache_bytes",
        help,
        [(vec![], figures.bytes as f64)],
    );
    for (name, help, count) in [
        (
            "cairn_payload_cache_hits",
            "Payload blocks of hits that were kept from others",
            figures.hits,
        ),
        (
            "cairn_payload_cache_misses",
            "Payload blocks of hits that were decompressed",
            figures.misses,
        ),
    ] {
        scrape.counters(name, help, [(vec![], count as f64)]);
    }
}

fn cold_reads(scrape: &mut Scrape, cold: engine::BatchedReads) {
    let method = vec![("method", cold.method)];
    for (name, help, count) in [
        (
            "cairn_cold_read_batches",
            "Batches of cold reads",
            cold.batches,
        ),
        ("cairn_cold_reads", "Cold reads", cold.reads),
        ("cairn_cold_read_bytes", "Bytes of cold reads", cold.bytes),
    ] {
        scrape.counters(name, help, [(method.clone(), count as f64)]);
    }
}

fn stalls(sample: &Sample) -> [(Labels, f64); 2] {
    let stall = |reason: &str, ms: u64| {
        let mut labels = sample.labels();
        labels.push(("reason", reason.to_owned()));
        (labels, ms as f64 / 1000.0)
    };
    [
        stall("flush_behind", sample.counters.stall_flush_ms),
        stall("compaction_behind", sample.counters.stall_compaction_ms),
    ]
}
