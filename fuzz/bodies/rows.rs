include!("parts.rs");
include!("same_sections.rs");

/// Takes the bytes as the sections of a rows part.
pub(crate) fn body(data: &[u8]) {
    use format_spec::{PointId, RowsBuilder, RowsLayout};

    let (bytes, layout) = part(PartKind::Rows, data);
    let Ok(opened) = RowsLayout::open(&layout, &bytes) else {
        return;
    };
    let view = opened.view(&bytes);
    let mut again = RowsBuilder::new();
    for row in 0..view.len() {
        let id = view.id(row).expect("rows have ids");
        assert_eq!(
            view.by_rank(view.rank_of(row).expect("rows have ranks")),
            Some(row)
        );
        assert!(view.row_of(id).is_none_or(|found| found == row));
        again.push(id, view.seqno(row).expect("rows have a SeqNo"));
    }
    for id in [
        PointId::Number(0),
        PointId::Number(7),
        PointId::Uuid(0),
        PointId::Uuid(u128::MAX),
    ] {
        assert!(view.rank_of_first_ge(id) <= view.len());
        assert!(view.row_of(id).is_none_or(|row| view.id(row) == Some(id)));
    }
    if view.verify().is_ok() {
        let (built, _) = again
            .finish(writer(PartKind::Rows))
            .expect("ids are unique");
        same_sections(PartKind::Rows, (&bytes, &layout), &built);
    }
    // The layout over other bytes: meaningless, but safe.
    let stale = opened.view(data);
    let _ = (
        stale.id(0),
        stale.row_of(PointId::Number(1)),
        stale.by_rank(3),
    );
}
