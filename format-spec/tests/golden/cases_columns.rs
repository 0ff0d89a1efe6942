//! Golden files of columns.

use format_spec::columns::{ColumnBuilder, ColumnValues, Place, TokenAt};
use format_spec::{ColumnLayout, PartKind, PartWriter, SeqNo};

use crate::cases_b::{open, text, words, writer};

const COLUMN_ROWS: u32 = 70;

fn column(build: impl Fn(ColumnBuilder<'_>, PartWriter<Vec<u8>>) -> Vec<u8>) -> Vec<u8> {
    let has_value = words(
        COLUMN_ROWS,
        &(0..COLUMN_ROWS).filter(|n| n % 5 > 0).collect::<Vec<_>>(),
    );
    let has_null = words(COLUMN_ROWS, &[0, 7, 69]);
    let (has_value, has_null) = (&has_value[..], &has_null[..]);
    let builder = ColumnBuilder {
        rows: COLUMN_ROWS,
        exact_for: SeqNo(5),
        settings: 0,
        has_value,
        has_null,
    };
    build(builder, writer(PartKind::Column))
}

pub(crate) fn column_keyword() -> Vec<u8> {
    let dense: Vec<u32> = (0..COLUMN_ROWS).filter(|n| n % 5 == 1).collect();
    let rare = [("", 3), ("Zürich", 8), ("ab", 3), ("ab", 4)];
    let pairs = rare
        .into_iter()
        .chain(dense.iter().map(|&row| ("abc", row)));
    column(|builder, part| builder.keywords(part, pairs.clone()).unwrap().0)
}

pub(crate) fn column_integer() -> Vec<u8> {
    let pairs = [(i64::MIN, 4), (-1, 3), (0, 3), (0, 69), (i64::MAX, 1)];
    column(|builder, part| builder.integers(part, &pairs).unwrap().0)
}

pub(crate) fn column_float() -> Vec<u8> {
    let pairs = [(f64::MIN, 4), (-0.5, 3), (0.0, 3), (0.0, 69), (1e300, 1)];
    column(|builder, part| builder.floats(part, &pairs).unwrap().0)
}

pub(crate) fn column_bool() -> Vec<u8> {
    let (yes, no) = (words(COLUMN_ROWS, &[1, 2, 69]), words(COLUMN_ROWS, &[2, 3]));
    column(|builder, part| builder.bools(part, &yes, &no).unwrap().0)
}

pub(crate) fn column_datetime() -> Vec<u8> {
    let pairs = [
        (i64::MIN, 4),
        (-1, 3),
        (0, 3),
        (0, 69),
        (1_577_836_800_000_000, 1),
    ];
    column(|builder, part| builder.datetimes(part, &pairs).unwrap().0)
}

pub(crate) fn column_uuid() -> Vec<u8> {
    let one = 0x550e_8400_e29b_41d4_a716_4466_5544_0000;
    let pairs = [(0, 4), (one, 3), (one, 69), (u128::MAX, 1)];
    column(|builder, part| builder.uuids(part, &pairs).unwrap().0)
}

pub(crate) fn column_geo() -> Vec<u8> {
    let places = [
        (-180.0, -90.0, 4),
        (-70.5, -33.25, 3),
        (13.4, 52.52, 3),
        (13.4, 52.52, 69),
        (180.0, 90.0, 1),
    ];
    let mut pairs = places.map(|(lon, lat, row)| (Place::new(lon, lat).unwrap(), row));
    pairs.sort_by(|a, b| a.partial_cmp(b).unwrap());
    column(|builder, part| builder.places(part, &pairs).unwrap().0)
}

/// Two words in a row, one of them again in another text of the row, and one nearly everywhere.
fn tokens() -> Vec<TokenAt<'static>> {
    let token = |token, row, position| TokenAt {
        token,
        row,
        position,
    };
    let mut tokens = vec![
        token("cairn", 3, 1),
        token("cairn", 3, 70),
        token("cairn", 3, 5000),
        token("cairn", 8, 0),
        token("stone", 3, 2),
    ];
    let rows = (0..COLUMN_ROWS).filter(|row| row % 5 > 0);
    tokens.extend(rows.map(|row| token("the", row, 0)));
    tokens
}

pub(crate) fn column_text() -> Vec<u8> {
    let many = words(COLUMN_ROWS, &[3]);
    column(|builder, part| {
        let builder = ColumnBuilder {
            settings: 0x0123_4567_89ab_cdef,
            ..builder
        };
        builder.texts(part, tokens(), &many, false).unwrap().0
    })
}

pub(crate) fn column_phrases() -> Vec<u8> {
    let many = words(COLUMN_ROWS, &[3]);
    column(|builder, part| builder.texts(part, tokens(), &many, true).unwrap().0)
}

pub(crate) fn reencode_column(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let layout = ColumnLayout::open(&open(PartKind::Column, bytes)?, bytes).map_err(text)?;
    let view = layout.view(bytes);
    view.verify().map_err(text)?;
    let (has_value, has_null) = (view.has_value().to_words(), view.has_null().to_words());
    let builder = ColumnBuilder {
        rows: view.stats().rows,
        exact_for: view.stats().exact_for,
        settings: view.stats().settings,
        has_value: &has_value,
        has_null: &has_null,
    };
    let part = writer(PartKind::Column);
    let written = match view.values() {
        ColumnValues::Keyword(values) => {
            let pairs = values
                .iter()
                .flat_map(|(text, rows)| rows.iter().map(move |r| (text, r)));
            builder.keywords(part, pairs)
        }
        ColumnValues::Integer(values) => {
            builder.integers(part, &values.pairs(0..values.len()).collect::<Vec<_>>())
        }
        ColumnValues::Float(values) => {
            builder.floats(part, &values.pairs(0..values.len()).collect::<Vec<_>>())
        }
        ColumnValues::Bool(values) => {
            let rows = |value| values.equals(value).iter().collect::<Vec<_>>();
            let bits = |value| words(view.stats().rows, &rows(value));
            builder.bools(part, &bits(true), &bits(false))
        }
        ColumnValues::Datetime(values) => {
            builder.datetimes(part, &values.pairs(0..values.len()).collect::<Vec<_>>())
        }
        ColumnValues::Uuid(values) => {
            builder.uuids(part, &values.pairs(0..values.len()).collect::<Vec<_>>())
        }
        ColumnValues::Geo(values) => {
            builder.places(part, &values.pairs(0..values.len()).collect::<Vec<_>>())
        }
        ColumnValues::Text(values) => {
            let mut tokens = Vec::new();
            values.each(&mut |token| tokens.push(token));
            let many = values.many_texts().to_words();
            builder.texts(part, tokens, &many, values.has_positions())
        }
    };
    Ok(written.unwrap().0)
}
