include!("parts.rs");
include!("same_sections.rs");

/// Takes the bytes as the sections of a column part.
pub(crate) fn body(data: &[u8]) {
    use format_spec::{ColumnBuilder, ColumnLayout, ColumnValues};

    let (bytes, layout) = part(PartKind::Column, data);
    let Ok(opened) = ColumnLayout::open(&layout, &bytes) else {
        return;
    };
    let view = opened.view(&bytes);
    let (has_value, has_null) = (view.has_value().to_words(), view.has_null().to_words());
    let builder = ColumnBuilder {
        rows: view.stats().rows,
        exact_for: view.stats().exact_for,
        settings: view.stats().settings,
        has_value: &has_value,
        has_null: &has_null,
    };
    let part = writer(PartKind::Column);
    let built = match view.values() {
        ColumnValues::Keyword(values) => {
            for (index, (text, rows)) in values.iter().enumerate() {
                assert_eq!(values.find(text), Ok(index));
                assert_eq!(values.equals(text).count(), rows.iter().count() as u64);
            }
            let pairs = values
                .iter()
                .flat_map(|(text, rows)| rows.iter().map(move |r| (text, r)));
            builder.keywords(part, pairs)
        }
        ColumnValues::Integer(values) => {
            assert!(values.range(..).count() >= values.range(-9..9).count());
            builder.integers(part, &values.pairs(0..values.len()).collect::<Vec<_>>())
        }
        ColumnValues::Float(values) => {
            assert!(values.range(..).count() >= values.range(f64::NAN..9.0).count());
            builder.floats(part, &values.pairs(0..values.len()).collect::<Vec<_>>())
        }
        ColumnValues::Bool(values) => {
            let mut words = [vec![0; has_value.len()], vec![0; has_value.len()]];
            values.equals(true).or_into(&mut words[0]);
            values.equals(false).or_into(&mut words[1]);
            builder.bools(part, &words[0], &words[1])
        }
        ColumnValues::Datetime(values) => {
            builder.datetimes(part, &values.pairs(0..values.len()).collect::<Vec<_>>())
        }
        ColumnValues::Uuid(values) => {
            assert!(values.range(..).count() >= values.range(9..).count());
            builder.uuids(part, &values.pairs(0..values.len()).collect::<Vec<_>>())
        }
        ColumnValues::Geo(values) => {
            assert!(values.first_where(|place| place.morton() > 9) <= values.len());
            builder.places(part, &values.pairs(0..values.len()).collect::<Vec<_>>())
        }
        ColumnValues::Text(values) => {
            let mut tokens = Vec::new();
            values.each(&mut |token| tokens.push(token));
            let many = values.many_texts().to_words();
            builder.texts(part, tokens, &many, values.has_positions())
        }
    };
    // A pair in an empty row is refused by the builder and by `verify`, but not by `open`.
    if view.verify().is_ok() {
        let (built, _) = built.expect("a complete column can be built");
        same_sections(PartKind::Column, (&bytes, &layout), &built);
    }
    read_stale(opened.view(data).values());
}

/// Reads what was opened over other bytes: whatever it finds, it does not panic.
fn read_stale(values: format_spec::ColumnValues<'_>) {
    use format_spec::ColumnValues;

    match values {
        ColumnValues::Keyword(stale) => {
            let _ = (stale.text(0), stale.equals("a").iter().count());
            let _ = stale.starting_with("a");
        }
        ColumnValues::Text(stale) => stale.each(&mut |_| {}),
        ColumnValues::Integer(_)
        | ColumnValues::Float(_)
        | ColumnValues::Bool(_)
        | ColumnValues::Datetime(_)
        | ColumnValues::Uuid(_)
        | ColumnValues::Geo(_) => {}
    }
}
