//! Golden files of the part container and of what stands in it.

use format_spec::bitmap::{BitmapLayout, encode_bitmap};
use format_spec::statistics::{UNKNOWN, filter_of, hash_integer, hash_text};
use format_spec::{
    CollectionId, DecodeError, Element, FieldRecords, GraphBuilder, GraphHead, GraphLayout, Kinds,
    Metric, PartHeader, PartId, PartIdentity, PartKind, PartLayout, PartWriter, PatchesBuilder,
    PatchesLayout, PayloadBuilder, PayloadLayout, PointId, RowsBuilder, RowsLayout, SeqNo, ShardId,
    StatisticsBuilder, StatisticsLayout, TombstonesBuilder, TombstonesLayout, Value, VectorShape,
    VectorsBuilder, VectorsLayout, ZoneRecord,
};

use crate::case::{Case, Damage};
use crate::cases_codes::{
    codes_1, codes_2, codes_4, codes_8, product, product_few, reencode_codes, reencode_product,
};
use crate::cases_columns::{
    column_bool, column_datetime, column_float, column_geo, column_integer, column_keyword,
    column_phrases, column_text, column_uuid, reencode_column,
};

#[path = "part_fields.rs"]
mod part_fields;

const COLLECTION: CollectionId = CollectionId(0x1b4e_28ba_2fa1_11d2_883f_0016_d3cc_a427);
const PART: PartId = PartId(0x2a);
const SHARD: ShardId = ShardId(3);
const NOT_IN_GRAPH: u8 = format_spec::graph::NOT_IN_GRAPH;

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "bitmap",
            build: bitmap,
            reencode: reencode_bitmap,
            fields: bitmap_fields,
            damage: Damage::Canonical,
        },
        case("container", container, reencode_container, fields::<4>),
        case("rows_mixed", rows_mixed, reencode_rows, fields::<5>),
        case(
            "rows_in_id_order",
            rows_in_id_order,
            reencode_rows,
            fields::<5>,
        ),
        case("codes_1", codes_1, reencode_codes, fields::<2>),
        case("codes_2", codes_2, reencode_codes, fields::<2>),
        case("codes_4", codes_4, reencode_codes, fields::<2>),
        case("codes_8", codes_8, reencode_codes, fields::<2>),
        case("product", product, reencode_product, fields::<10>),
        case("product_few", product_few, reencode_product, fields::<10>),
        case("statistics", statistics, reencode_statistics, fields::<11>),
        case(
            "statistics_none",
            statistics_none,
            reencode_statistics,
            fields::<11>,
        ),
        case("vectors_f32", vectors_f32, reencode_vectors, fields::<1>),
        case("vectors_f16", vectors_f16, reencode_vectors, fields::<1>),
        case("vectors_u8", vectors_u8, reencode_vectors, fields::<1>),
        case("graph", graph, reencode_graph, fields::<3>),
        case("graph_empty", graph_empty, reencode_graph, fields::<3>),
        case("payload", payload, reencode_payload, fields::<6>),
        case(
            "columns_keyword",
            column_keyword,
            reencode_column,
            fields::<7>,
        ),
        case(
            "columns_integer",
            column_integer,
            reencode_column,
            fields::<7>,
        ),
        case("columns_float", column_float, reencode_column, fields::<7>),
        case("columns_bool", column_bool, reencode_column, fields::<7>),
        case(
            "columns_datetime",
            column_datetime,
            reencode_column,
            fields::<7>,
        ),
        case("columns_uuid", column_uuid, reencode_column, fields::<7>),
        case("columns_geo", column_geo, reencode_column, fields::<7>),
        case("columns_text", column_text, reencode_column, fields::<7>),
        case(
            "columns_phrases",
            column_phrases,
            reencode_column,
            fields::<7>,
        ),
        case("tombstones", tombstones, reencode_tombstones, fields::<8>),
        case("patches", patch, reencode_patch, fields::<9>),
    ]
}

fn case(
    name: &'static str,
    build: fn() -> Vec<u8>,
    reencode: fn(&[u8]) -> Result<Vec<u8>, String>,
    fields: fn(&[u8]) -> Vec<(usize, String)>,
) -> Case {
    Case {
        name,
        build,
        reencode,
        fields,
        damage: Damage::Error,
    }
}

fn fields<const KIND: u8>(bytes: &[u8]) -> Vec<(usize, String)> {
    let kind = PartKind::from_tag(KIND).unwrap();
    part_fields::part_fields(kind, &open(kind, bytes).unwrap())
}

fn header(kind: PartKind) -> PartHeader {
    let header = PartHeader::new(kind, PART, COLLECTION, SHARD);
    if kind.is_derived() {
        header.derived_from([0xab; 32])
    } else {
        header
    }
}

pub(crate) fn writer(kind: PartKind) -> PartWriter<Vec<u8>> {
    PartWriter::new(Vec::new(), header(kind))
}

/// Opens and verifies completely.
pub(crate) fn open(kind: PartKind, bytes: &[u8]) -> Result<PartLayout, String> {
    let len = bytes.len() as u64;
    let identity = PartIdentity {
        kind,
        part_id: PART,
        collection: COLLECTION,
        shard: SHARD,
        len,
    };
    let layout = PartLayout::open(bytes, &identity).map_err(text)?;
    layout.verify_all(bytes).map_err(text)?;
    Ok(layout)
}

pub(crate) fn text(error: DecodeError) -> String {
    error.to_string()
}

pub(crate) fn words(rows: u32, set: &[u32]) -> Vec<u64> {
    let mut words = vec![0; rows.div_ceil(64) as usize];
    for &row in set {
        words[row as usize / 64] |= 1 << (row % 64);
    }
    words
}

/// A kind without a chapter yet, three sections with tags nobody knows, an unknown optional
/// feature, and a section that crosses a block.
fn container() -> Vec<u8> {
    let header = PartHeader {
        features_optional: 1 << 40,
        ..header(PartKind::Sparse)
    };
    let mut part = PartWriter::new(Vec::new(), header);
    part.begin_section(u32::from_le_bytes(*b"ONE.")).unwrap();
    part.write(b"one byte short of nothing").unwrap();
    part.begin_section(u32::from_le_bytes(*b"NONE")).unwrap();
    part.begin_section(u32::from_le_bytes(*b"LONG")).unwrap();
    let long: Vec<u8> = (0..9000_u32).map(|n| (n * 7 + n / 251) as u8).collect();
    part.write(&long).unwrap();
    part.finish().unwrap().0
}

fn reencode_container(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let layout = open(PartKind::Sparse, bytes)?;
    let mut part = PartWriter::new(Vec::new(), layout.header().clone());
    for (tag, range) in layout.sections() {
        part.begin_section(tag).unwrap();
        part.write(&bytes[range.start as usize..range.end as usize])
            .unwrap();
    }
    Ok(part.finish().unwrap().0)
}

fn rows_mixed() -> Vec<u8> {
    let mut rows = RowsBuilder::new();
    rows.push(PointId::Number(700), SeqNo(12));
    rows.push(PointId::Uuid(COLLECTION.0), SeqNo(11));
    rows.push(PointId::Number(0), SeqNo(13));
    rows.push(PointId::Uuid(0xff), SeqNo(10));
    rows.push(PointId::Number(u64::MAX), SeqNo(10));
    rows.finish(writer(PartKind::Rows)).unwrap().0
}

fn rows_in_id_order() -> Vec<u8> {
    let mut rows = RowsBuilder::new();
    (0..40).for_each(|n| rows.push(PointId::Number(n * 3), SeqNo(100 + n % 7)));
    rows.finish(writer(PartKind::Rows)).unwrap().0
}

fn reencode_rows(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let layout = RowsLayout::open(&open(PartKind::Rows, bytes)?, bytes).map_err(text)?;
    let view = layout.view(bytes);
    view.verify().map_err(text)?;
    let mut rows = RowsBuilder::new();
    for row in 0..view.len() {
        rows.push(view.id(row).unwrap(), view.seqno(row).unwrap());
    }
    Ok(rows.finish(writer(PartKind::Rows)).unwrap().0)
}

fn vectors(shape: VectorShape, rows: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut vectors = VectorsBuilder::new(writer(PartKind::Vectors), shape).unwrap();
    rows.iter()
        .for_each(|row| vectors.push(row.as_deref()).unwrap());
    vectors.finish().unwrap().0
}

fn vectors_f32() -> Vec<u8> {
    let shape = VectorShape {
        dim: 3,
        element: Element::F32,
        metric: Metric::Euclid,
    };
    let row = |n: f32| {
        [n, -n, n / 8.0]
            .iter()
            .flat_map(|f| f.to_le_bytes())
            .collect()
    };
    vectors(
        shape,
        &[Some(row(1.5)), None, Some(row(0.0)), Some(row(1e9))],
    )
}

fn vectors_f16() -> Vec<u8> {
    let shape = VectorShape {
        dim: 2,
        element: Element::F16,
        metric: Metric::Cosine,
    };
    // One and zero as binary16.
    vectors(shape, &[Some(vec![0, 0x3c, 0, 0]), Some(vec![0; 4])])
}

fn vectors_u8() -> Vec<u8> {
    let shape = VectorShape {
        dim: 5,
        element: Element::U8,
        metric: Metric::Manhattan,
    };
    let row = |n: u8| (n.is_multiple_of(3)).then(|| vec![n, 1, 2, 3, 255]);
    vectors(shape, &(0..100).map(row).collect::<Vec<_>>())
}

fn reencode_vectors(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let part = open(PartKind::Vectors, bytes)?;
    let layout = VectorsLayout::open(&part, bytes).map_err(text)?;
    layout.verify_absent(bytes).map_err(text)?;
    let view = layout.view(bytes);
    let rows: Vec<_> = (0..view.len())
        .map(|row| view.vector(row).map(<[u8]>::to_vec))
        .collect();
    Ok(vectors(layout.shape(), &rows))
}

fn graph_of(head: GraphHead, levels: &[u8], list: impl Fn(u8, u32) -> Vec<u32>) -> Vec<u8> {
    let mut graph = GraphBuilder::new(writer(PartKind::Graph), head, levels.to_vec()).unwrap();
    let rows = || (0..).zip(levels);
    rows().for_each(|(row, _)| graph.base(&list(0, row)).unwrap());
    for (row, &level) in rows().filter(|(_, level)| **level != NOT_IN_GRAPH) {
        (1..=level).for_each(|layer| graph.upper(&list(layer, row)).unwrap());
    }
    graph.finish().unwrap().0
}

fn graph() -> Vec<u8> {
    let head = GraphHead {
        m: 2,
        m0: 4,
        ef_construct: 100,
        seed: 7,
        entry: Some(3),
    };
    graph_of(head, &[0, 1, NOT_IN_GRAPH, 2, 0, 1], |layer, row| {
        match (layer, row) {
            (0, 2) | (2, _) => vec![],
            (0, 3) => vec![0, 1, 4, 5],
            (0, _) => vec![3, 5 - row],
            (_, 3) => vec![1, 5],
            _ => vec![3],
        }
    })
}

fn graph_empty() -> Vec<u8> {
    let head = GraphHead {
        m: 16,
        m0: 32,
        ef_construct: 100,
        seed: 7,
        entry: None,
    };
    graph_of(head, &[NOT_IN_GRAPH; 2], |_, _| vec![])
}

fn reencode_graph(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let layout = GraphLayout::open(&open(PartKind::Graph, bytes)?, bytes).map_err(text)?;
    let view = layout.view(bytes);
    let levels: Vec<_> = (0..view.len())
        .map(|row| view.level(row).unwrap_or(NOT_IN_GRAPH))
        .collect();
    Ok(graph_of(*view.head(), &levels, |layer, row| {
        view.neighbours(layer, row).to_vec()
    }))
}

fn object(n: i64) -> Vec<u8> {
    let text = Value::Text("the same words again and again ".repeat(n as usize % 5));
    let fields = vec![("n".to_owned(), Value::Int(n)), ("text".to_owned(), text)];
    Value::Object(fields).to_bytes()
}

/// The frames depend on the version of zstd: another one may compress differently and is then
/// blessed here, while readers must go on reading the frames that are kept.
fn payload() -> Vec<u8> {
    let mut payload = PayloadBuilder::new(writer(PartKind::Payload), SeqNo(9)).unwrap();
    payload.push(format_spec::EMPTY_PAYLOAD).unwrap();
    (0..30).for_each(|n| payload.push(&object(n)).unwrap());
    // Longer than what blocks share: a block of its own, between two others.
    let long = Value::Object(vec![("long".to_owned(), Value::Text("x".repeat(70_000)))]);
    payload.push(&long.to_bytes()).unwrap();
    payload.push(format_spec::EMPTY_PAYLOAD).unwrap();
    payload.finish().unwrap().0
}

fn reencode_payload(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let part = open(PartKind::Payload, bytes)?;
    let layout = PayloadLayout::open(&part, bytes).map_err(text)?;
    let view = layout.view(bytes);
    let writer = writer(PartKind::Payload);
    let mut again = PayloadBuilder::new(writer, layout.exact_for()).unwrap();
    let mut block = Vec::new();
    for n in 0..view.block_count() {
        view.decompress_block(n, &mut block).map_err(text)?;
        for row in view.rows_of(n) {
            let payload = view.slice(row, &block).map_err(text)?;
            Value::decode(payload).map_err(text)?;
            again.push(payload).unwrap();
        }
    }
    Ok(again.finish().unwrap().0)
}

const BITMAP_ROWS: u32 = 3 * 65_536 + 100;

/// Four chunks: one empty, one full, one as a list, a short one as words.
fn chunks() -> Vec<u64> {
    let mut set: Vec<u32> = (65_536..2 * 65_536).collect();
    set.extend([131_073, 131_099, 190_000]);
    set.extend((3 * 65_536..BITMAP_ROWS).step_by(2));
    words(BITMAP_ROWS, &set)
}

fn bitmap() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_bitmap(BITMAP_ROWS, &chunks(), &mut bytes);
    bytes
}

fn reencode_bitmap(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let layout = BitmapLayout::open(bytes, 0..bytes.len() as u64, "bitmap").map_err(text)?;
    let view = layout.view(bytes);
    let mut again = Vec::new();
    encode_bitmap(view.len(), &view.to_words(), &mut again);
    Ok(again)
}

fn bitmap_fields(_: &[u8]) -> Vec<(usize, String)> {
    let mut fields = vec![(4, "len".to_owned()), (4, "ones".to_owned())];
    for chunk in 0..4 {
        fields.push((4, format!("directory: count of chunk {chunk}")));
        fields.push((4, format!("directory: offset of chunk {chunk}")));
    }
    fields.push((8, "chunk 2: list of 3, zeros".to_owned()));
    fields.push((16, "chunk 3: 2 words".to_owned()));
    fields
}

/// Three fields over three zones: texts, numbers with every figure, and one known only to be there.
fn statistics() -> Vec<u8> {
    let record = |kinds: &[Kinds], rows: (u16, u16)| ZoneRecord {
        kinds: kinds.iter().copied().fold(Kinds::NONE, Kinds::union),
        rows_with_value: rows.0,
        rows_with_null: rows.1,
        ..ZoneRecord::default()
    };
    let mut filters = Vec::new();
    let hashes: Vec<u64> = ["", "a", "b", "c", "d"].map(hash_text).into();
    let texts = ZoneRecord {
        distinct: filter_of(&hashes, &mut filters),
        ..record(&[Kinds::TEXT, Kinds::NULL, Kinds::EMPTY], (5, 1))
    };
    let unknown = ZoneRecord {
        distinct: UNKNOWN,
        ..record(&[Kinds::TEXT, Kinds::ARRAY], (1, 0))
    };
    let tags = FieldRecords {
        path: "tags[]".to_owned(),
        values: 5_000,
        text_bytes: 60_000,
        zones: vec![(0, texts), (2, unknown)],
        filters,
    };
    let mut filters = Vec::new();
    let numbers = ZoneRecord {
        distinct: filter_of(&[hash_integer(-7)], &mut filters),
        numbers: Some((-7.0, 1e300)),
        ..record(&[Kinds::INT, Kinds::UINT, Kinds::FLOAT], (7, 0))
    };
    let size = FieldRecords {
        path: "\"box.size\".größe".to_owned(),
        values: 8,
        zones: vec![(1, numbers)],
        filters,
        ..FieldRecords::default()
    };
    let others = [Kinds::TRUE, Kinds::FALSE, Kinds::NAN, Kinds::OBJECT];
    let plain = FieldRecords {
        path: "z".to_owned(),
        values: 4,
        zones: vec![(1, record(&others, (4, 0)))],
        ..FieldRecords::default()
    };
    let builder = StatisticsBuilder {
        zone_ends: &[6, 60, 61],
        exact_for: SeqNo(9),
        complete: true,
        fields: &[size, tags, plain],
    };
    builder.finish(writer(PartKind::Statistics)).unwrap().0
}

fn statistics_none() -> Vec<u8> {
    let builder = StatisticsBuilder {
        zone_ends: &[],
        exact_for: SeqNo(0),
        complete: false,
        fields: &[],
    };
    builder.finish(writer(PartKind::Statistics)).unwrap().0
}

fn reencode_statistics(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let layout =
        StatisticsLayout::open(&open(PartKind::Statistics, bytes)?, bytes).map_err(text)?;
    let view = layout.view(bytes);
    let fields: Vec<FieldRecords> = view.fields().map(|field| field.to_records()).collect();
    let ends: Vec<u32> = (0..view.zones())
        .map(|zone| view.zone_rows(zone).end)
        .collect();
    let builder = StatisticsBuilder {
        zone_ends: &ends,
        exact_for: view.exact_for(),
        complete: view.is_complete(),
        fields: &fields,
    };
    Ok(builder.finish(writer(PartKind::Statistics)).unwrap().0)
}

fn tombstones() -> Vec<u8> {
    let rows = BITMAP_ROWS;
    let dead = chunks();
    let builder = TombstonesBuilder {
        rows,
        exact_for: SeqNo(1 << 40),
        dead: &dead,
    };
    builder.finish(writer(PartKind::Tombstones)).unwrap().0
}

fn reencode_tombstones(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let part = open(PartKind::Tombstones, bytes)?;
    let layout = TombstonesLayout::open(&part, bytes).map_err(text)?;
    let view = layout.view(bytes);
    let dead = view.dead().to_words();
    let builder = TombstonesBuilder {
        rows: view.len(),
        exact_for: view.exact_for(),
        dead: &dead,
    };
    Ok(builder.finish(writer(PartKind::Tombstones)).unwrap().0)
}

fn patch() -> Vec<u8> {
    let mut patches = PatchesBuilder::new(writer(PartKind::Patch), 50, SeqNo(90)).unwrap();
    for row in [0, 7, 49_u32] {
        patches
            .push(row, SeqNo(80 + u64::from(row % 3)), &object(row.into()))
            .unwrap();
    }
    patches.finish().unwrap().0
}

fn reencode_patch(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let layout = PatchesLayout::open(&open(PartKind::Patch, bytes)?, bytes).map_err(text)?;
    let view = layout.view(bytes);
    let writer = writer(PartKind::Patch);
    let mut again = PatchesBuilder::new(writer, layout.segment_rows(), layout.exact_for()).unwrap();
    let mut block = Vec::new();
    for n in 0..view.block_count() {
        view.decompress_block(n, &mut block).map_err(text)?;
        for position in view.positions_of(n) {
            let payload = view.slice(position, &block).map_err(text)?;
            let row = view.row(position).unwrap();
            again
                .push(row, view.seqno(position).unwrap(), payload)
                .unwrap();
        }
    }
    Ok(again.finish().unwrap().0)
}
