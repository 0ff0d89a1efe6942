//! Golden files of operations and of the WAL.

use format_spec::wal::{
    FILE_HEADER_LEN, FLAG_COMMIT, FLAG_RUN, FileHeader, KIND_OPS, KIND_SEAL, KIND_SYNC_MARKER,
    RECORD_HEADER_LEN, Record, RecordHeader, ScanOutcome, Seal, WalIdentity, WalScanner,
    append_record, record_len,
};
use format_spec::wal_builder::{OpsBuilder, PayloadTable, UpsertColumns, VectorColumn};
use format_spec::wal_ops::{Op, OpsBuf, OpsRef, Patch, Upsert};
use format_spec::{EMPTY_PAYLOAD, PointId, ShardId, Value};

use crate::cases_a::{COLLECTION, Fields, text};

/// An upsert with both presence forms and all id forms, a delete, a patch.
pub(crate) fn mixed_ops() -> OpsBuf {
    let mixed = [
        PointId::Number(1),
        PointId::Uuid(COLLECTION.0),
        PointId::Number(u64::MAX),
    ];
    let mut payloads = PayloadTable::new();
    payloads.push(EMPTY_PAYLOAD).unwrap();
    payloads
        .push_value(&Value::Object(vec![("a".into(), Value::Int(1))]))
        .unwrap();
    payloads.push(EMPTY_PAYLOAD).unwrap();
    let all: Vec<_> = [1.0_f32, 0.0, 0.0, 1.0, 0.5, -0.5]
        .map(f32::to_le_bytes)
        .concat();
    let vectors = [
        VectorColumn {
            index: 0,
            stride: 8,
            presence: None,
            rows: &all,
        },
        VectorColumn {
            index: 2,
            stride: 3,
            presence: Some(&[0b101]),
            rows: &[9, 8, 7, 6, 5, 4],
        },
    ];
    let mut builder = OpsBuilder::new();
    let upsert = UpsertColumns {
        ids: &mixed,
        vectors: &vectors,
        payloads: &payloads,
    };
    builder.upsert(&upsert).unwrap();
    builder
        .delete(&[PointId::Number(5), PointId::Number(6)])
        .unwrap();
    let uuids = [PointId::Uuid(7), PointId::Uuid(8), PointId::Uuid(9)];
    let mut shared = PayloadTable::new();
    shared
        .push_value(&Value::Object(vec![(
            "s".into(),
            Value::Text("shared".into()),
        )]))
        .unwrap();
    shared.push(EMPTY_PAYLOAD).unwrap();
    builder.patch(&uuids, &[0, 1, 0], &shared).unwrap();
    builder.finish()
}

fn one_delete(number: u64) -> OpsBuf {
    let mut builder = OpsBuilder::new();
    builder.delete(&[PointId::Number(number)]).unwrap();
    builder.finish()
}

pub(crate) fn reencode_ops(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let ops = OpsRef::parse(bytes).map_err(text)?;
    let mut builder = OpsBuilder::new();
    for op in ops.iter() {
        let ids: Vec<_> = op.ids().iter().collect();
        match op {
            Op::Upsert(op) => add_upsert(&mut builder, &ids, &op)?,
            Op::Delete(_) => builder.delete(&ids).map_err(|error| error.to_string())?,
            Op::Patch(op) => add_patch(&mut builder, &ids, &op)?,
        }
    }
    Ok(builder.finish().bytes().to_vec())
}

fn add_upsert(builder: &mut OpsBuilder, ids: &[PointId], op: &Upsert<'_>) -> Result<(), String> {
    let mut payloads = PayloadTable::new();
    for i in 0..op.len() {
        payloads
            .push(op.payload(i))
            .map_err(|error| error.to_string())?;
    }
    let blocks: Vec<_> = op.vectors().collect();
    let presence: Vec<_> = blocks
        .iter()
        .map(|block| {
            let mut words = vec![0_u64; op.len().div_ceil(64)];
            for i in (0..op.len()).filter(|&i| block.row(i).is_some()) {
                words[i / 64] |= 1 << (i % 64);
            }
            words
        })
        .collect();
    let columns = blocks
        .iter()
        .zip(&presence)
        .map(|(block, presence)| VectorColumn {
            index: block.index(),
            stride: u32::try_from(block.stride()).unwrap(),
            presence: Some(presence),
            rows: block.rows(),
        });
    let vectors: Vec<_> = columns.collect();
    let columns = UpsertColumns {
        ids,
        vectors: &vectors,
        payloads: &payloads,
    };
    builder.upsert(&columns).map_err(|error| error.to_string())
}

fn add_patch(builder: &mut OpsBuilder, ids: &[PointId], op: &Patch<'_>) -> Result<(), String> {
    let mut table = PayloadTable::new();
    for i in 0..op.table().len() {
        table
            .push(op.table().get(i).unwrap())
            .map_err(|error| error.to_string())?;
    }
    let entries: Vec<_> = (0..op.len())
        .map(|i| u32::try_from(op.entry(i)).unwrap())
        .collect();
    builder
        .patch(ids, &entries, &table)
        .map_err(|error| error.to_string())
}

pub(crate) fn ops_fields(_: &[u8]) -> Vec<(usize, String)> {
    let mut fields = Fields(vec![]);
    fields.all(&[(4, "operation count"), (4, "zero")]);
    let head = |fields: &mut Fields, what: &str| {
        fields.one(1, format!("operation kind: {what}"));
        fields.all(&[(1, "id form"), (2, "zero"), (4, "point count")]);
        fields.all(&[(4, "table count"), (4, "operation length")]);
    };
    head(&mut fields, "upsert");
    fields.all(&[(3, "id tags"), (5, "padding"), (48, "ids")]);
    fields.all(&[
        (2, "vector index"),
        (1, "presence: all"),
        (1, "zero"),
        (4, "stride"),
    ]);
    fields.all(&[(4, "present"), (4, "zero"), (24, "rows")]);
    fields.all(&[
        (2, "vector index"),
        (1, "presence: bitmap"),
        (1, "zero"),
        (4, "stride"),
    ]);
    fields.all(&[
        (4, "present"),
        (4, "zero"),
        (8, "bitmap"),
        (4, "ranks"),
        (4, "padding"),
    ]);
    fields.all(&[(6, "rows"), (2, "padding")]);
    fields.all(&[
        (16, "payload offsets"),
        (6, "payload {}"),
        (10, "payload {\"a\":1}"),
    ]);
    fields.all(&[(6, "payload {}"), (2, "padding")]);
    head(&mut fields, "delete");
    fields.one(16, "ids");
    head(&mut fields, "patch");
    fields.all(&[
        (48, "ids"),
        (12, "entries"),
        (4, "padding"),
        (12, "payload offsets"),
    ]);
    fields.all(&[
        (4, "padding"),
        (16, "payload {\"s\":\"shared\"}"),
        (6, "payload {}"),
    ]);
    fields.all(&[(2, "padding")]);
    fields.0
}

const WAL_LEN: usize = 2048;
const WAL_ID: u64 = 0x1122_3344_5566_7788;
const WAL_IDENTITY: WalIdentity = WalIdentity {
    number: 12,
    collection: COLLECTION,
    shard: ShardId(3),
};

/// Ops, a marker, a run of two, then a seal or another marker.
pub(crate) fn wal(sealed: bool) -> Vec<u8> {
    let header = FileHeader {
        identity: WAL_IDENTITY,
        file_id: WAL_ID,
        previous_number: 11,
        previous_file_id: 0x0a0b,
        file_len: WAL_LEN as u64,
    };
    let mut out = header.encode();
    let mut synced = FILE_HEADER_LEN as u64;
    let mut put = |kind: u8, flags: u8, seqs: (u64, u64), body: &[u8]| {
        let at = out.len() as u64;
        if kind != KIND_OPS {
            synced = at;
        }
        let header = RecordHeader {
            seq_first: seqs.0,
            seq_last: seqs.1,
            synced_upto: synced,
            epoch: 2,
            schema_version: 5,
            kind,
            flags,
            ..Default::default()
        };
        append_record(&mut out, WAL_ID, at, &header, body).unwrap();
    };
    put(KIND_OPS, 0, (101, 103), mixed_ops().bytes());
    put(KIND_SYNC_MARKER, 0, (103, 103), &[]);
    put(KIND_OPS, FLAG_RUN, (104, 104), one_delete(1).bytes());
    put(
        KIND_OPS,
        FLAG_RUN | FLAG_COMMIT,
        (105, 105),
        one_delete(2).bytes(),
    );
    if sealed {
        put(
            KIND_SEAL,
            0,
            (105, 105),
            &Seal {
                records: 4,
                seq_last: 105,
            }
            .encode(),
        );
    } else {
        put(KIND_SYNC_MARKER, 0, (105, 105), &[]);
    }
    out.resize(WAL_LEN, 0);
    out
}

pub(crate) fn reencode_wal(bytes: &[u8], sealed: bool) -> Result<Vec<u8>, String> {
    let mut scanner = WalScanner::new(bytes, &WAL_IDENTITY).map_err(text)?;
    let file = *scanner.header();
    let mut out = file.encode();
    for record in scanner.by_ref() {
        let body = match record.header.kind {
            KIND_OPS => {
                record.ops().map_err(text)?;
                reencode_ops(record.body)?
            }
            KIND_SEAL => Seal::decode(record.body).map_err(text)?.encode().to_vec(),
            _ => record.body.to_vec(),
        };
        append_record(&mut out, file.file_id, record.offset, &record.header, &body)
            .map_err(text)?;
    }
    let outcome = scanner.finish();
    if outcome != (ScanOutcome::CleanEnd { sealed }) {
        return Err(format!("{outcome:?}"));
    }
    out.resize(usize::try_from(file.file_len).unwrap(), 0);
    Ok(out)
}

pub(crate) fn wal_fields(bytes: &[u8]) -> Vec<(usize, String)> {
    let mut fields = Fields(vec![]);
    fields.all(&[
        (8, "magic"),
        (4, "format version"),
        (4, "zero"),
        (8, "required features"),
    ]);
    fields.all(&[(8, "optional features"), (8, "file number"), (8, "file id")]);
    fields.all(&[
        (16, "collection"),
        (4, "shard"),
        (4, "zero"),
        (8, "previous number"),
    ]);
    fields.all(&[
        (8, "previous file id"),
        (8, "file length"),
        (28, "zero"),
        (4, "header crc"),
    ]);
    let mut at = FILE_HEADER_LEN;
    while let Some(record) = Record::read(&bytes[at..], WAL_ID, at as u64).unwrap() {
        fields.one(4, format!("record header crc at {at:#x}"));
        fields.all(&[
            (4, "body crc"),
            (8, "first seqno"),
            (8, "last seqno"),
            (8, "synced upto"),
        ]);
        fields.all(&[(8, "schema version"), (4, "body length"), (4, "epoch")]);
        fields.all(&[(1, "kind"), (1, "flags"), (6, "zero")]);
        let body = record.body.len();
        fields.one(body, "body");
        let end = usize::try_from(record_len(record.header.len)).unwrap();
        fields.one(end - RECORD_HEADER_LEN - body, "padding");
        at += end;
    }
    fields.one(bytes.len() - at, "zeros to the end of the file");
    fields.0
}
