//! Golden files of paths, values, the WAL, manifests and the catalog.

use format_spec::path::DataPath;
use format_spec::schema::{
    Codec, CompactionSettings, Element, FieldIndex, FieldType, HnswSettings, Metric, Schema,
    VectorSchema,
};
use format_spec::wal::{
    FILE_HEADER_LEN, FLAG_COMMIT, FLAG_RUN, FileHeader, KIND_OPS, KIND_SEAL, KIND_SYNC_MARKER,
    RECORD_HEADER_LEN, Record, RecordHeader, ScanOutcome, Seal, WalIdentity, WalScanner,
    append_record, record_len,
};
use format_spec::wal_builder::{OpsBuilder, PayloadTable, UpsertColumns, VectorColumn};
use format_spec::wal_ops::{Op, OpsBuf, OpsRef, Patch, Upsert};
use format_spec::{
    Catalog, CollectionEntry, CollectionId, EMPTY_PAYLOAD, Epoch, PartEntry, PartId, PartKind,
    PointId, RecallPoint, SegmentEntry, SegmentId, SeqNo, ShardId, ShardManifest, Value,
};

use crate::case::{Case, Damage};

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "paths",
            build: paths,
            reencode: reencode_paths,
            fields: |bytes| {
                let lines = bytes.split_inclusive(|&byte| byte == b'\n');
                lines.map(|line| (line.len(), "path".to_owned())).collect()
            },
            damage: Damage::Canonical,
        },
        Case {
            name: "value",
            build: || payload().to_bytes(),
            reencode: |bytes| Ok(Value::decode(bytes).map_err(text)?.to_bytes()),
            fields: value_fields,
            damage: Damage::Canonical,
        },
        Case {
            name: "wal_ops",
            build: || mixed_ops().bytes().to_vec(),
            reencode: reencode_ops,
            fields: ops_fields,
            damage: Damage::Canonical,
        },
        Case {
            name: "wal_sealed",
            build: || wal(true),
            reencode: |bytes| reencode_wal(bytes, true),
            fields: wal_fields,
            damage: Damage::Error,
        },
        Case {
            name: "wal_open",
            build: || wal(false),
            reencode: |bytes| reencode_wal(bytes, false),
            fields: wal_fields,
            damage: Damage::Error,
        },
        Case {
            name: "manifest",
            build: || manifest().encode(),
            reencode: |bytes| {
                let decoded = ShardManifest::decode(bytes, 42, COLLECTION, ShardId(3));
                Ok(decoded.map_err(text)?.encode())
            },
            fields: envelope_fields,
            damage: Damage::Error,
        },
        Case {
            name: "manifest_empty",
            build: || empty_manifest().encode(),
            reencode: |bytes| {
                let decoded = ShardManifest::decode(bytes, 1, COLLECTION, ShardId(0));
                Ok(decoded.map_err(text)?.encode())
            },
            fields: envelope_fields,
            damage: Damage::Error,
        },
        Case {
            name: "catalog",
            build: || catalog().encode(),
            reencode: |bytes| Ok(Catalog::decode(bytes, 7).map_err(text)?.encode()),
            fields: envelope_fields,
            damage: Damage::Error,
        },
    ]
}

const COLLECTION: CollectionId = CollectionId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

fn text(error: format_spec::DecodeError) -> String {
    error.to_string()
}

/// Builds the list of stretches that a dump names.
struct Fields(Vec<(usize, String)>);

impl Fields {
    fn all(&mut self, fields: &[(usize, &str)]) -> &mut Self {
        self.0
            .extend(fields.iter().map(|(len, name)| (*len, (*name).to_owned())));
        self
    }

    fn one(&mut self, len: usize, name: impl Into<String>) -> &mut Self {
        if len > 0 {
            self.0.push((len, name.into()));
        }
        self
    }
}

fn paths() -> Vec<u8> {
    let (collection, shard) = (COLLECTION, ShardId(3));
    let mut paths = vec![DataPath::Lock, DataPath::Catalog { number: 7 }];
    paths.push(DataPath::Wal {
        collection,
        shard,
        number: 12,
    });
    paths.push(DataPath::Wal {
        collection,
        shard,
        number: 1_234_567,
    });
    paths.push(DataPath::Manifest {
        collection,
        shard,
        number: 42,
    });
    for &kind in PartKind::ALL {
        let id = PartId(0xa0 + u64::from(kind.tag()));
        paths.push(DataPath::Part {
            collection,
            shard,
            id,
            kind,
        });
    }
    paths
        .iter()
        .flat_map(|path| format!("{path}\n").into_bytes())
        .collect()
}

/// The number of lines is fixed, so that a cut at the end of a line is seen.
fn reencode_paths(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let lines = text
        .strip_suffix('\n')
        .ok_or("the last line is cut")?
        .split('\n');
    let mut out = Vec::new();
    let mut count = 0;
    for line in lines {
        let path = DataPath::parse(line).ok_or_else(|| format!("not a path: {line}"))?;
        out.extend_from_slice(format!("{path}\n").as_bytes());
        count += 1;
    }
    if count == 5 + PartKind::ALL.len() {
        Ok(out)
    } else {
        Err(format!("{count} lines"))
    }
}

fn payload() -> Value {
    let numbers = [
        Value::Int(0),
        Value::Int(-1),
        Value::Int(127),
        Value::Int(-129),
        Value::Int(65_536),
        Value::Int(i64::MIN),
        Value::Int(i64::MAX),
        Value::Uint(u64::MAX),
        Value::Float(0.5),
        Value::Float(-0.0),
        Value::Float(1e300),
    ];
    let nested = Value::Object(vec![
        ("leer".into(), Value::Array(vec![])),
        ("äß→😀".into(), Value::Text("grüße".into())),
        (
            "deep".into(),
            Value::Array(vec![Value::Object(vec![("x".into(), Value::Null)])]),
        ),
    ]);
    Value::Object(vec![
        ("null".into(), Value::Null),
        ("yes".into(), Value::Bool(true)),
        ("no".into(), Value::Bool(false)),
        ("numbers".into(), Value::Array(numbers.into())),
        ("nested".into(), nested),
        (String::new(), Value::Text(String::new())),
        ("long".into(), Value::Text("0123456789".repeat(20))),
    ])
}

fn value_fields(bytes: &[u8]) -> Vec<(usize, String)> {
    let mut fields = Fields(vec![]);
    fields.all(&[(1, "tag object"), (4, "body length"), (1, "member count")]);
    let Value::Object(members) = payload() else {
        unreachable!()
    };
    let mut left = bytes.len() - 6;
    for (key, value) in &members {
        fields.one(1 + key.len(), format!("key {key:?}"));
        let len = value.to_bytes().len();
        fields.one(len, "value");
        left -= 1 + key.len() + len;
    }
    fields.one(left, "rest");
    fields.0
}

/// An upsert with both presence forms and all id forms, a delete, a patch.
fn mixed_ops() -> OpsBuf {
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

fn reencode_ops(bytes: &[u8]) -> Result<Vec<u8>, String> {
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

fn ops_fields(_: &[u8]) -> Vec<(usize, String)> {
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
fn wal(sealed: bool) -> Vec<u8> {
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

fn reencode_wal(bytes: &[u8], sealed: bool) -> Result<Vec<u8>, String> {
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

fn wal_fields(bytes: &[u8]) -> Vec<(usize, String)> {
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

fn empty_manifest() -> ShardManifest {
    ShardManifest {
        number: 1,
        shard: ShardId(0),
        collection: COLLECTION,
        epoch: Epoch(1),
        flushed: SeqNo(0),
        hash_range: (0, u64::MAX),
        next_part: 1,
        next_segment: 1,
        first_wal: 1,
        segments: vec![],
    }
}

fn manifest() -> ShardManifest {
    let part = |id: u64, kind, name: &str, source: bool| PartEntry {
        id: PartId(id),
        kind,
        name: name.to_owned(),
        len: 4096 * id,
        hash: std::array::from_fn(|i| u8::try_from(i).unwrap()),
        source_hash: source.then_some([0xee; 32]),
        exact_for: SeqNo(900 + id),
        recall: if kind == PartKind::Graph {
            [(16_000, 7_500), (64_000, 10_000)]
                .map(|(setting, recall)| RecallPoint { setting, recall })
                .to_vec()
        } else {
            Vec::new()
        },
    };
    let segment = |id, rows, parts| SegmentEntry {
        id: SegmentId(id),
        rows,
        seqno_min: SeqNo(id),
        seqno_max: SeqNo(1000),
        parts,
    };
    let full = vec![
        part(1, PartKind::Rows, "", false),
        part(2, PartKind::Vectors, "image", false),
        part(3, PartKind::Graph, "image", true),
        part(4, PartKind::Payload, "", false),
        part(5, PartKind::Column, "meta.city", true),
        part(300, PartKind::Tombstones, "", false),
    ];
    ShardManifest {
        number: 42,
        shard: ShardId(3),
        epoch: Epoch(2),
        flushed: SeqNo(1000),
        hash_range: (1 << 63, u64::MAX),
        next_part: 301,
        next_segment: 9,
        first_wal: 11,
        segments: vec![segment(1, 100_000, full), segment(8, 1, vec![])],
        ..empty_manifest()
    }
}

fn catalog() -> Catalog {
    let vector = |name: &str, dim, metric, element| VectorSchema {
        name: name.to_owned(),
        dim,
        metric,
        element,
        hnsw: HnswSettings {
            seed: 77,
            ..HnswSettings::default()
        },
        codec: Codec::Bits8,
    };
    let field = |path: &str, field_type| FieldIndex {
        path: path.to_owned(),
        field_type,
        settings: EMPTY_PAYLOAD.to_vec(),
    };
    let schema = Schema {
        version: 5,
        vectors: vec![
            vector("", 4, Metric::Cosine, Element::F32),
            vector("b", 1536, Metric::Dot, Element::F16),
            vector("c", 3, Metric::Euclid, Element::U8),
            vector("d", 65_535, Metric::Manhattan, Element::F32),
        ],
        fields: vec![
            field("city", FieldType::Keyword),
            field("a.b[].c", FieldType::Integer),
            field("price", FieldType::Float),
            field("ok", FieldType::Bool),
        ],
        compaction: CompactionSettings {
            paused: true,
            ..CompactionSettings::default()
        },
        document: Value::Object(vec![("on_disk".into(), Value::Bool(true))]).to_bytes(),
    };
    let entry = |id, name: &str, schema, shards| CollectionEntry {
        id,
        name: name.to_owned(),
        schema,
        shards,
        created_at_ms: 1_700_000_000_000,
    };
    Catalog {
        number: 7,
        collections: vec![
            entry(COLLECTION, "bilder", schema, vec![ShardId(0), ShardId(300)]),
            entry(CollectionId(u128::MAX), "leer", Schema::default(), vec![]),
        ],
        aliases: vec![("jetzt".into(), "bilder".into())],
    }
}

fn envelope_fields(bytes: &[u8]) -> Vec<(usize, String)> {
    let mut fields = Fields(vec![]);
    fields.all(&[
        (8, "magic"),
        (4, "format version"),
        (4, "zero"),
        (8, "required features"),
    ]);
    fields.all(&[
        (8, "optional features"),
        (8, "number"),
        (16, "collection"),
        (4, "shard"),
    ]);
    fields.all(&[
        (4, "zero"),
        (8, "body length"),
        (32, "body sha-256"),
        (4, "zero"),
    ]);
    fields.all(&[(4, "header crc"), (1, "body version")]);
    let mut left = bytes.len() - 113 - 4;
    while left > 0 {
        let len = left.min(32);
        fields.one(len, "body");
        left -= len;
    }
    fields.one(4, "file crc");
    fields.0
}
