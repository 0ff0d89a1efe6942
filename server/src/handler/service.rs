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

/// `GET /healthz`: the process answers.
pub(crate) fn healthz(_: &Call) -> Result<Reply, ApiError> {
    Ok(Reply::text("healthz check passed"))
}

/// `GET /livez`: the process answers.
pub(crate) fn livez(_: &Call) -> Result<Reply, ApiError> {
    Ok(Reply::text("livez check passed"))
}

/// `GET /readyz`: requests will be served. The server listens only after recovery, so what is
/// left to say is whether it is about to stop.
pub(crate) fn readyz(call: &Call) -> Result<Reply, ApiError> {
    if call.state.is_stopping() {
        let reply = Reply::text("some shards are not ready");
        return Ok(reply.with_status(StatusCode::SERVICE_UNAVAILABLE));
    }
    Ok(Reply::text("all shards are ready"))
}

/// A counter of the engine as a gauge: name, help, value.
type Figure = (&'static str, &'static str, fn(&engine::Counters) -> f64);

const FIGURES: &[Figure] = &[
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
    (
        "cairn_ingested_bytes",
        "Bytes of operations given to the log, since the start",
        |c| c.ingested_bytes as f64,
    ),
    (
        "cairn_wal_written_bytes",
        "Bytes the log wrote, since the start",
        |c| c.wal_bytes as f64,
    ),
    (
        "cairn_wal_syncs",
        "Syncs of the log, since the start",
        |c| c.wal_syncs as f64,
    ),
    ("cairn_wal_disk_bytes", "Bytes of log files on disk", |c| {
        c.wal_disk_bytes as f64
    }),
    (
        "cairn_flushed_bytes",
        "Bytes that flushes wrote, since the start",
        |c| c.flushed_bytes as f64,
    ),
    (
        "cairn_compacted_bytes",
        "Bytes that compaction wrote, since the start",
        |c| c.compacted_bytes as f64,
    ),
    ("cairn_segment_bytes", "Bytes of segment files", |c| {
        c.segment_bytes as f64
    }),
    (
        "cairn_memtable_bytes",
        "Bytes of memtables and patches in memory",
        |c| c.memtable_bytes as f64,
    ),
    (
        "cairn_retired_files",
        "Files that wait for their last reader",
        |c| c.retired_files as f64,
    ),
    (
        "cairn_writes_refused_disk_full",
        "Writes refused because the disk was full, since the start",
        |c| c.refused_disk_full as f64,
    ),
];

/// `GET /metrics`.
pub(crate) fn metrics(call: &Call) -> Result<Reply, ApiError> {
    let state = &call.state;
    let collections: Vec<_> = state
        .db
        .collections()
        .into_iter()
        .map(|collection| (collection.status(), collection.counters(), collection))
        .collect();
    let labels = |name: &str| -> Labels { vec![("id", name.to_owned())] };
    let mut scrape = Scrape::default();
    let app = vec![
        ("name", "qdrant".to_owned()),
        ("version", API_VERSION.to_owned()),
        ("cairn_version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    scrape.family("app_info", "What runs", [(app, 1.0)]);
    scrape.one("collections_total", "Collections", collections.len() as f64);
    scrape.one("cluster_enabled", "Whether this is a cluster", 0.0);
    let of = |figure: fn(&engine::Status) -> f64| {
        let values = collections.iter();
        values.map(move |(status, _, collection)| (labels(collection.name()), figure(status)))
    };
    scrape.family("collection_points", "Live points", of(|s| s.points as f64));
    scrape.family(
        "collection_indexed_vectors",
        "Vectors that a graph covers",
        of(|s| s.indexed_vectors as f64),
    );
    scrape.family(
        "cairn_collection_segments",
        "Segments",
        of(|s| s.segments as f64),
    );
    scrape.family(
        "collection_update_queue_length",
        "Writes that are durable and not yet visible",
        of(|s| s.queue_length as f64),
    );
    scrape.family(
        "cairn_collection_damaged_segments",
        "Segments set aside because their files are damaged",
        of(|s| s.damaged.len() as f64),
    );
    let running = collections.iter().map(|(_, _, collection)| {
        let running = collection.optimizations().running.len();
        (labels(collection.name()), running as f64)
    });
    scrape.family(
        "collection_running_optimizations",
        "Compaction jobs that run",
        running,
    );
    for (name, help, figure) in FIGURES {
        let values = collections
            .iter()
            .map(|(_, counters, collection)| (labels(collection.name()), figure(counters)));
        scrape.family(name, help, values);
    }
    let stalls = collections.iter().flat_map(|(_, counters, collection)| {
        let stall = |reason: &str, ms: u64| {
            let mut labels = labels(collection.name());
            labels.push(("reason", reason.to_owned()));
            (labels, ms as f64 / 1000.0)
        };
        [
            stall("flush_behind", counters.stall_flush_ms),
            stall("compaction_behind", counters.stall_compaction_ms),
        ]
    });
    let help = "Time that writers were held back, by reason, since the start";
    scrape.family("cairn_write_stall_seconds", help, stalls);
    process(&mut scrape);
    let mut text = String::new();
    scrape.encode(&mut text).map_err(ApiError::internal)?;
    state
        .telemetry
        .encode(&mut text)
        .map_err(ApiError::internal)?;
    Ok(Reply::text(text))
}
