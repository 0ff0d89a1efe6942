//! Golden files of paths, values, the WAL, manifests and the catalog.

use format_spec::path::DataPath;
use format_spec::schema::{
    Codec, CompactionSettings, Element, FieldIndex, FieldType, HnswSettings, Metric, Schema,
    VectorSchema,
};
use format_spec::{
    Catalog, CollectionEntry, CollectionId, EMPTY_PAYLOAD, Epoch, PartEntry, PartId, PartKind,
    PartOrigin, RecallPoint, SegmentEntry, SegmentId, SeqNo, ShardId, ShardManifest, Value,
};

use crate::case::{Case, Damage};
use crate::cases_wal::{mixed_ops, ops_fields, reencode_ops, reencode_wal, wal, wal_fields};

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

pub(crate) const COLLECTION: CollectionId = CollectionId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

pub(crate) fn text(error: format_spec::DecodeError) -> String {
    error.to_string()
}

/// Builds the list of stretches that a dump names.
pub(crate) struct Fields(pub(crate) Vec<(usize, String)>);

impl Fields {
    pub(crate) fn all(&mut self, fields: &[(usize, &str)]) -> &mut Self {
        self.0
            .extend(fields.iter().map(|(len, name)| (*len, (*name).to_owned())));
        self
    }

    pub(crate) fn one(&mut self, len: usize, name: impl Into<String>) -> &mut Self {
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
        origin: None,
    };
    let adopted = PartEntry {
        origin: Some(PartOrigin {
            collection: std::array::from_fn(|i| 0xc0 | u8::try_from(i).unwrap()),
            shard: ShardId(1),
            id: PartId(70_000),
        }),
        ..part(7, PartKind::Statistics, "", true)
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
        adopted,
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
