//! Write-ahead logs: every record, and how the log ends.

use format_spec::path::DataPath;
use format_spec::wal::{
    FileHeader, KIND_OPS, KIND_SEAL, KIND_SYNC_MARKER, Record, ScanOutcome, WalIdentity,
    WalScanner, is_void,
};
use format_spec::wal_ops::{Op, Upsert};
use format_spec::{DecodeError, Why};
use serde_json::{Value as Tree, json};

use super::{Report, hex, id, payload};

pub(super) fn report(report: &mut Report, bytes: &[u8], place: Option<&DataPath>, contents: bool) {
    report.set("kind", "wal");
    report.set("version", format_spec::wal::VERSION);
    report.set("len", bytes.len());
    let decoded = FileHeader::decode(bytes);
    // Space planned ahead, or a file whose making was cut off: there is nothing in it.
    let void = decoded.is_err() && is_void(bytes);
    report.set("void", void);
    if void {
        report.set("records", Tree::Array(Vec::new()));
        return;
    }
    let Some(header) = report.step(decoded) else {
        return;
    };
    report.set("number", header.identity.number);
    report.set("collection", header.identity.collection.to_string());
    report.set("shard", header.identity.shard.0);
    report.set("file_id", header.file_id);
    report.set("previous_number", header.previous_number);
    report.set("previous_file_id", header.previous_file_id);
    let expect = match place {
        Some(&DataPath::Wal {
            collection,
            shard,
            number,
        }) => WalIdentity {
            number,
            collection,
            shard,
        },
        _ => header.identity,
    };
    let Some(mut scanner) = report.step(WalScanner::new(bytes, &expect)) else {
        return;
    };
    let mut records = Vec::new();
    for record in scanner.by_ref() {
        let Some(tree) = report.step(describe(&record, contents)) else {
            return;
        };
        records.push(tree);
    }
    report.set("records", records);
    report.set("end_of_records", scanner.end_of_records());
    let outcome = scanner.finish();
    report.set("end", end(outcome));
    match outcome {
        ScanOutcome::CleanEnd { .. } | ScanOutcome::TornTail { .. } => {}
        ScanOutcome::Corrupt { at, field, .. } => {
            report.error = Some(DecodeError::new(at, field, Why::Hash));
        }
        ScanOutcome::Unsupported { at, kind } => {
            let why = Why::Kind { found: kind.into() };
            report.error = Some(DecodeError::new(at, "record kind", why));
        }
    }
}

fn end(outcome: ScanOutcome) -> Tree {
    match outcome {
        ScanOutcome::CleanEnd { sealed } => json!({"outcome": "clean", "sealed": sealed}),
        ScanOutcome::TornTail { at } => json!({"outcome": "torn", "at": at}),
        ScanOutcome::Corrupt {
            at,
            field,
            proof_at,
        } => {
            json!({"outcome": "corrupt", "at": at, "field": field, "proof_at": proof_at})
        }
        ScanOutcome::Unsupported { at, kind } => {
            json!({"outcome": "unsupported", "at": at, "kind": kind})
        }
    }
}

fn describe(record: &Record<'_>, contents: bool) -> Result<Tree, DecodeError> {
    let header = &record.header;
    let kind = match header.kind {
        KIND_OPS => "ops",
        KIND_SYNC_MARKER => "sync marker",
        KIND_SEAL => "seal",
        _ => "ignored",
    };
    let mut tree = json!({
        "at": record.offset,
        "kind": kind,
        "len": header.len,
        "seq_first": header.seq_first,
        "seq_last": header.seq_last,
        "synced_upto": header.synced_upto,
        "epoch": header.epoch,
        "schema_version": header.schema_version,
        "flags": header.flags,
    });
    if header.kind == KIND_OPS {
        let ops = record.ops()?;
        tree["ops"] = if contents {
            ops.iter()
                .map(|op| describe_op(&op))
                .collect::<Result<Vec<_>, _>>()?
                .into()
        } else {
            ops.len().into()
        };
    }
    Ok(tree)
}

fn describe_op(op: &Op<'_>) -> Result<Tree, DecodeError> {
    Ok(match op {
        Op::Upsert(upsert) => {
            let points = (0..upsert.len()).map(|at| point(upsert, at));
            json!({"op": "upsert", "points": points.collect::<Result<Vec<_>, _>>()?})
        }
        Op::Delete(delete) => {
            let ids = delete.ids().iter().map(id);
            json!({"op": "delete", "ids": ids.collect::<Vec<_>>()})
        }
        Op::Patch(patch) => {
            let points = (0..patch.len()).map(|at| {
                Ok(json!({"id": id(patch.id(at)), "payload": payload(patch.payload(at))?}))
            });
            json!({"op": "patch", "points": points.collect::<Result<Vec<_>, DecodeError>>()?})
        }
    })
}

/// What a vector's bytes mean stands in the catalog, so here they stay bytes.
fn point(upsert: &Upsert<'_>, at: usize) -> Result<Tree, DecodeError> {
    let vectors = upsert.vectors().filter_map(|block| {
        let row = block.row(at)?;
        Some(json!({"index": block.index(), "bytes": hex(row)}))
    });
    Ok(json!({
        "id": id(upsert.id(at)),
        "vectors": vectors.collect::<Vec<_>>(),
        "payload": payload(upsert.payload(at))?,
    }))
}
