//! What is in a part that has been verified, by kind: its figures, and its rows when asked for.

use format_spec::{
    CodesLayout, ColumnLayout, ColumnValues, DecodeError, Element, GraphView, PartKind, PartLayout,
    PatchesLayout, PayloadLayout, PointId, Postings, ProductLayout, RowsLayout, StatisticsLayout,
    TombstonesView, VectorsView, Zone, columns::Texts,
};
use half::f16;
use serde_json::{Value as Tree, json};

use super::{Report, hex, id, payload};

pub(super) fn report(report: &mut Report, part: &PartLayout, bytes: &[u8], all: bool) {
    let described = match part.header().kind {
        PartKind::Rows => rows(part, bytes, all),
        PartKind::Vectors => vectors(part, bytes, all),
        PartKind::Graph => graph(part, bytes, all),
        PartKind::Payload => payloads(part, bytes, all),
        PartKind::Column => column(part, bytes, all),
        PartKind::Tombstones => tombstones(part, bytes, all),
        PartKind::Patch => patches(part, bytes, all),
        PartKind::Codes => codes(part, bytes, all),
        PartKind::Product => product(part, bytes, all),
        PartKind::Statistics => statistics(part, bytes, all),
        // A kind that has a name in the format and no chapter yet.
        PartKind::Sparse => Ok(Tree::Null),
    };
    if let Some(contents) = report.step(described) {
        report.set("contents", contents);
    }
}

/// Adds the long list, if it is wanted.
fn with_list(
    mut tree: Tree,
    all: bool,
    key: &str,
    list: impl FnOnce() -> Result<Vec<Tree>, DecodeError>,
) -> Result<Tree, DecodeError> {
    if all {
        tree[key] = list()?.into();
    }
    Ok(tree)
}

fn rows(part: &PartLayout, bytes: &[u8], all: bool) -> Result<Tree, DecodeError> {
    let layout = RowsLayout::open(part, bytes)?;
    let view = layout.view(bytes);
    let tree = json!({
        "count": view.len(),
        "seqno_min": layout.seqno_min().0,
        "seqno_max": layout.seqno_max().0,
    });
    with_list(tree, all, "rows", || {
        let rows = (0..view.len()).map(|row| {
            json!({"id": view.id(row).map(id), "seqno": view.seqno(row).map(|seqno| seqno.0)})
        });
        Ok(rows.collect())
    })
}

fn vectors(part: &PartLayout, bytes: &[u8], all: bool) -> Result<Tree, DecodeError> {
    let view = VectorsView::open(part, bytes)?;
    let tree = json!({
        "count": view.len(),
        "present": view.present_count(),
        "dim": view.dim(),
        "stride": view.stride(),
        "element": format!("{:?}", view.element()).to_lowercase(),
        "metric": format!("{:?}", view.metric()).to_lowercase(),
    });
    with_list(tree, all, "vectors", || {
        let rows = (0..view.len()).map(|row| match view.vector(row) {
            Some(bytes) => numbers(view.element(), bytes).into(),
            None => Tree::Null,
        });
        Ok(rows.collect())
    })
}

/// The components as they are stored; each is exactly a double.
fn numbers(element: Element, row: &[u8]) -> Vec<Tree> {
    let double = |value: f64| json!(value);
    match element {
        Element::F32 => {
            let chunks = row.as_chunks().0.iter();
            chunks
                .map(|&chunk| double(f32::from_le_bytes(chunk).into()))
                .collect()
        }
        Element::F16 => {
            let chunks = row.as_chunks().0.iter();
            chunks
                .map(|&chunk| double(f16::from_le_bytes(chunk).to_f64()))
                .collect()
        }
        Element::U8 => row.iter().map(|&byte| json!(byte)).collect(),
    }
}

fn graph(part: &PartLayout, bytes: &[u8], all: bool) -> Result<Tree, DecodeError> {
    let view = GraphView::open(part, bytes)?;
    let head = view.head();
    let tree = json!({
        "count": view.len(),
        "nodes": view.nodes(),
        "m": head.m,
        "m0": head.m0,
        "ef_construct": head.ef_construct,
        "seed": head.seed,
        "entry": head.entry,
        "max_level": view.entry().map_or(0, |(_, level)| level),
    });
    with_list(tree, all, "rows", || {
        let rows = (0..view.len()).map(|row| match view.level(row) {
            None => Tree::Null,
            Some(level) => {
                let layers = (0..=level).map(|layer| view.neighbours(layer, row));
                json!({"level": level, "neighbours": layers.collect::<Vec<_>>()})
            }
        });
        Ok(rows.collect())
    })
}

fn payloads(part: &PartLayout, bytes: &[u8], all: bool) -> Result<Tree, DecodeError> {
    let layout = PayloadLayout::open(part, bytes)?;
    let view = layout.view(bytes);
    let tree = json!({
        "count": view.len(),
        "blocks": view.block_count(),
        "exact_for": layout.exact_for().0,
        "raw_bytes": layout.raw_bytes(),
    });
    with_list(tree, all, "payloads", || {
        let mut list = Vec::new();
        let mut block = Vec::new();
        for n in 0..view.block_count() {
            view.decompress_block(n, &mut block)?;
            for row in view.rows_of(n) {
                list.push(payload(view.slice(row, &block)?)?);
            }
        }
        Ok(list)
    })
}

fn patches(part: &PartLayout, bytes: &[u8], all: bool) -> Result<Tree, DecodeError> {
    let layout = PatchesLayout::open(part, bytes)?;
    let view = layout.view(bytes);
    let tree = json!({
        "count": view.len(),
        "blocks": view.block_count(),
        "segment_rows": layout.segment_rows(),
        "exact_for": layout.exact_for().0,
    });
    with_list(tree, all, "patches", || {
        let mut list = Vec::new();
        let mut block = Vec::new();
        for n in 0..view.block_count() {
            view.decompress_block(n, &mut block)?;
            for position in view.positions_of(n) {
                list.push(json!({
                    "row": view.row(position),
                    "seqno": view.seqno(position).map(|seqno| seqno.0),
                    "payload": payload(view.slice(position, &block)?)?,
                }));
            }
        }
        Ok(list)
    })
}

fn codes(part: &PartLayout, bytes: &[u8], all: bool) -> Result<Tree, DecodeError> {
    let view = CodesLayout::open(part, bytes)?.view(bytes);
    let shape = view.shape();
    let tree = json!({
        "count": view.len(),
        "dim": shape.dim,
        "padded": shape.padded(),
        "bits": shape.bits,
        "measure": format!("{:?}", shape.measure).to_lowercase(),
        "seed": shape.seed,
    });
    let tree = with_list(tree, all, "codes", || {
        // With one bit a dimension there are no rows beside the blocks.
        let rows = (0..view.len()).filter(|_| shape.row_len() > 0);
        Ok(rows.map(|row| hex(view.row(row)).into()).collect())
    })?;
    with_list(tree, all, "blocks", || {
        let blocks = 0..view.block_count();
        Ok(blocks.map(|block| hex(view.block(block)).into()).collect())
    })
}

fn product(part: &PartLayout, bytes: &[u8], all: bool) -> Result<Tree, DecodeError> {
    let view = ProductLayout::open(part, bytes)?.view(bytes);
    let shape = view.shape();
    let tree = json!({
        "count": view.len(),
        "present": view.present().count(),
        "dim": shape.dim,
        "width": shape.width,
        "centroids": shape.count,
        "seed": shape.seed,
    });
    let tree = with_list(tree, all, "codes", || {
        let codes = |row| view.is_present(row).then(|| hex(view.row(row)));
        Ok((0..view.len()).map(|row| codes(row).into()).collect())
    })?;
    with_list(tree, all, "book", || {
        let numbers = view.book().into_iter().map(f64::from);
        Ok(numbers.map(Tree::from).collect())
    })
}

fn statistics(part: &PartLayout, bytes: &[u8], all: bool) -> Result<Tree, DecodeError> {
    let layout = StatisticsLayout::open(part, bytes)?;
    let view = layout.view(bytes);
    let fields = view.fields().map(|field| {
        let figures = field.figures();
        let mut tree = json!({
            "path": field.path(),
            "kinds": figures.kinds.bits(),
            "rows_with_value": figures.rows_with_value,
            "rows_with_null": figures.rows_with_null,
            "values": figures.values,
            "text_bytes": figures.text_bytes,
            "numbers": figures.numbers,
        });
        if all {
            tree["zones"] = field.zones().map(|zone| zone_report(&zone)).collect();
        }
        tree
    });
    Ok(json!({
        "count": view.rows(),
        "zones": view.zones(),
        "exact_for": view.exact_for().0,
        "complete": view.is_complete(),
        "fields": fields.collect::<Vec<_>>(),
    }))
}

fn zone_report(zone: &Zone<'_>) -> Tree {
    json!({
        "first_row": zone.rows.start,
        "kinds": zone.record.kinds.bits(),
        "rows_with_value": zone.record.rows_with_value,
        "rows_with_null": zone.record.rows_with_null,
        "distinct": zone.record.distinct,
        "numbers": zone.record.numbers,
        "filter": hex(zone.filter),
    })
}

fn tombstones(part: &PartLayout, bytes: &[u8], all: bool) -> Result<Tree, DecodeError> {
    let view = TombstonesView::open(part, bytes)?;
    let tree = json!({
        "count": view.len(),
        "dead_count": view.dead_count(),
        "exact_for": view.exact_for().0,
    });
    with_list(tree, all, "dead", || {
        Ok(view.dead().iter().map(Tree::from).collect())
    })
}

fn column(part: &PartLayout, bytes: &[u8], all: bool) -> Result<Tree, DecodeError> {
    let view = ColumnLayout::open(part, bytes)?.view(bytes);
    let stats = view.stats();
    let tree = json!({
        "type": format!("{:?}", stats.field_type).to_lowercase(),
        "count": stats.rows,
        "exact_for": stats.exact_for.0,
        "values_count": stats.values,
        "distinct": stats.distinct,
        "rows_with_value": stats.rows_with_value,
        "rows_with_null": stats.rows_with_null,
        "rows_indexed": stats.rows_indexed,
        "settings": stats.settings,
        "has_value": all.then(|| view.has_value().iter().collect::<Vec<_>>()),
        "has_null": all.then(|| view.has_null().iter().collect::<Vec<_>>()),
    });
    with_list(tree, all, "values", || Ok(values(view.values())))
}

/// The tokens, each with its rows, and with its positions in each row if the column has them.
fn tokens(values: Texts<'_>) -> Vec<Tree> {
    let mut places = Vec::new();
    let mut list = Vec::new();
    for (index, (token, postings)) in values.tokens().iter().enumerate() {
        let mut positions = values.positions(index);
        let rows: Vec<Tree> = postings
            .iter()
            .map(|row| {
                if !values.has_positions() {
                    return row.into();
                }
                positions.next_row(&mut places);
                json!({"row": row, "positions": places})
            })
            .collect();
        list.push(json!({"value": token, "rows": rows}));
    }
    list
}

fn values(values: ColumnValues<'_>) -> Vec<Tree> {
    let rows = |postings: Postings<'_>| postings.iter().collect::<Vec<_>>();
    match values {
        ColumnValues::Keyword(values) => values
            .iter()
            .map(|(text, postings)| json!({"value": text, "rows": rows(postings)}))
            .collect(),
        ColumnValues::Integer(values) => (0..values.len())
            .filter_map(|position| values.pair(position))
            .map(|(value, row)| json!({"value": value, "row": row}))
            .collect(),
        ColumnValues::Float(values) => (0..values.len())
            .filter_map(|position| values.pair(position))
            .map(|(value, row)| json!({"value": value, "row": row}))
            .collect(),
        ColumnValues::Bool(values) => [false, true]
            .into_iter()
            .map(|value| json!({"value": value, "rows": rows(values.equals(value))}))
            .collect(),
        ColumnValues::Datetime(values) => (0..values.len())
            .filter_map(|position| values.pair(position))
            .map(|(value, row)| json!({"value": value, "row": row}))
            .collect(),
        ColumnValues::Uuid(values) => (0..values.len())
            .filter_map(|position| values.pair(position))
            .map(|(value, row)| json!({"value": PointId::Uuid(value).to_string(), "row": row}))
            .collect(),
        ColumnValues::Geo(values) => (0..values.len())
            .filter_map(|position| values.pair(position))
            .map(|(at, row)| json!({"value": {"lon": at.lon(), "lat": at.lat()}, "row": row}))
            .collect(),
        ColumnValues::Text(values) => tokens(values),
    }
}
