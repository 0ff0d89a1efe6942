//! Shard manifests and catalogs.

use format_spec::ids::uuid_from_bytes;
use format_spec::path::DataPath;
use format_spec::{
    Catalog, CollectionEntry, CollectionId, DecodeError, Schema, SegmentEntry, ShardId,
    ShardManifest,
};
use serde_json::{Value as Tree, json};

use super::{Report, hex, payload};

/// Where number, collection and shard stand in the header that both kinds share, for a file that
/// does not lie in a data directory.
const NUMBER: usize = 32;
const COLLECTION: usize = 40;
const SHARD: usize = 56;

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
    chunk.copied().map_or(0, u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
    chunk.copied().map_or(0, u32::from_le_bytes)
}

/// A UUID in its 16 RFC 4122 bytes.
pub(super) fn collection_at(bytes: &[u8], at: usize) -> CollectionId {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
    CollectionId(chunk.copied().map_or(0, uuid_from_bytes))
}

pub(super) fn report_shard(report: &mut Report, bytes: &[u8], place: Option<&DataPath>) {
    report.set("kind", "manifest");
    report.set("version", format_spec::envelope::VERSION);
    report.set("len", bytes.len());
    let (number, collection, shard) = match place {
        Some(&DataPath::Manifest {
            collection,
            shard,
            number,
        }) => (number, collection, shard),
        _ => (
            u64_at(bytes, NUMBER),
            collection_at(bytes, COLLECTION),
            ShardId(u32_at(bytes, SHARD)),
        ),
    };
    let Some(manifest) = report.step(ShardManifest::decode(bytes, number, collection, shard))
    else {
        return;
    };
    report.set("number", manifest.number);
    report.set("collection", manifest.collection.to_string());
    report.set("shard", manifest.shard.0);
    report.set("epoch", manifest.epoch.0);
    report.set("flushed", manifest.flushed.0);
    report.set(
        "hash_range",
        json!([manifest.hash_range.0, manifest.hash_range.1]),
    );
    report.set("next_part", manifest.next_part);
    report.set("next_segment", manifest.next_segment);
    report.set("first_wal", manifest.first_wal);
    report.step(manifest.invariants());
    let segments = manifest.segments.iter().map(segment);
    report.set("segments", segments.collect::<Vec<_>>());
}

fn segment(segment: &SegmentEntry) -> Tree {
    let parts = segment.parts.iter().map(|part| {
        json!({
            "id": part.id.0,
            "kind": part.kind.extension(),
            "name": part.name,
            "len": part.len,
            "hash": hex(&part.hash),
            "source_hash": part.source_hash.as_ref().map(|hash| hex(hash)),
            "exact_for": part.exact_for.0,
            "recall": part.recall.iter().map(|point| json!({
                "setting": point.setting,
                "recall": point.recall,
            })).collect::<Vec<_>>(),
            "origin": part.origin.map(|origin| json!({
                "collection": CollectionId(uuid_from_bytes(origin.collection)).to_string(),
                "shard": origin.shard.0,
                "part_id": origin.id.0,
            })),
        })
    });
    json!({
        "id": segment.id.0,
        "rows": segment.rows,
        "seqno_min": segment.seqno_min.0,
        "seqno_max": segment.seqno_max.0,
        "parts": parts.collect::<Vec<_>>(),
    })
}

pub(super) fn report_catalog(report: &mut Report, bytes: &[u8], place: Option<&DataPath>) {
    report.set("kind", "catalog");
    report.set("version", format_spec::envelope::VERSION);
    report.set("len", bytes.len());
    let number = match place {
        Some(&DataPath::Catalog { number }) => number,
        _ => u64_at(bytes, NUMBER),
    };
    let Some(catalog) = report.step(Catalog::decode(bytes, number)) else {
        return;
    };
    report.set("number", catalog.number);
    report.step(catalog.invariants());
    let collections: Result<Vec<_>, _> = catalog.collections.iter().map(collection).collect();
    if let Some(collections) = report.step(collections) {
        report.set("collections", collections);
    }
    let aliases = catalog.aliases.iter();
    let aliases = aliases.map(|(alias, name)| json!({"alias": alias, "collection": name}));
    report.set("aliases", aliases.collect::<Vec<_>>());
}

fn collection(entry: &CollectionEntry) -> Result<Tree, DecodeError> {
    let shards: Vec<u32> = entry.shards.iter().map(|shard| shard.0).collect();
    Ok(json!({
        "id": entry.id.to_string(),
        "name": entry.name,
        "shards": shards,
        "created_at_ms": entry.created_at_ms,
        "schema": schema(&entry.schema)?,
    }))
}

/// A stored value; what is none, which the chapter allows, in hexadecimal.
fn opaque(bytes: &[u8]) -> Tree {
    match payload(bytes) {
        Ok(value) => value,
        Err(_) if bytes.is_empty() => Tree::Null,
        Err(_) => Tree::from(hex(bytes)),
    }
}

fn schema(schema: &Schema) -> Result<Tree, DecodeError> {
    let vectors = schema.vectors.iter().map(|vector| {
        json!({
            "name": vector.name,
            "dim": vector.dim,
            "metric": format!("{:?}", vector.metric).to_lowercase(),
            "element": format!("{:?}", vector.element).to_lowercase(),
            "codec": format!("{:?}", vector.codec).to_lowercase(),
            "hnsw": vector.hnsw,
        })
    });
    let fields = schema.fields.iter().map(|field| {
        Ok(json!({
            "path": field.path,
            "type": format!("{:?}", field.field_type).to_lowercase(),
            "settings": opaque(&field.settings),
        }))
    });
    // An empty document is one that nobody has written yet.
    let document = opaque(&schema.document);
    Ok(json!({
        "version": schema.version,
        "vectors": vectors.collect::<Vec<_>>(),
        "fields": fields.collect::<Result<Vec<_>, DecodeError>>()?,
        "compaction": schema.compaction,
        "document": document,
    }))
}
