include!("parts.rs");
include!("same_sections.rs");

/// Takes the bytes as the sections of a statistics part.
pub(crate) fn body(data: &[u8]) {
    use format_spec::statistics::{hash_integer, hash_text};
    use format_spec::{FieldRecords, StatisticsBuilder, StatisticsLayout};

    let (bytes, layout) = part(PartKind::Statistics, data);
    let Ok(opened) = StatisticsLayout::open(&layout, &bytes) else {
        return;
    };
    let stale = opened.view(data);
    for field in stale.fields() {
        let _ = (field.path(), field.zones().count());
    }
    let view = opened.view(&bytes);
    let mut fields: Vec<FieldRecords> = Vec::new();
    for field in view.fields() {
        let found = view.field(field.path()).expect("a field is found by its path");
        assert_eq!(found.path(), field.path());
        for (zone, n) in field.zones().zip(0..) {
            assert_eq!(zone.rows, view.zone_rows(n));
            let _ = (zone.may_have(hash_text("a")), zone.may_have(hash_integer(0)));
        }
        fields.push(field.to_records());
    }
    let ends: Vec<u32> = (0..view.zones()).map(|zone| view.zone_rows(zone).end).collect();
    let builder = StatisticsBuilder {
        zone_ends: &ends,
        exact_for: view.exact_for(),
        complete: view.is_complete(),
        fields: &fields,
    };
    let built = builder.finish(writer(PartKind::Statistics));
    let (built, _) = built.expect("what was opened can be built");
    same_sections(PartKind::Statistics, (&bytes, &layout), &built);
}
