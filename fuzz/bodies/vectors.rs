include!("parts.rs");
include!("same_sections.rs");

/// Takes the bytes as the sections of a vectors part.
pub(crate) fn body(data: &[u8]) {
    use format_spec::{VectorsBuilder, VectorsLayout};

    let (bytes, layout) = part(PartKind::Vectors, data);
    let Ok(opened) = VectorsLayout::open(&layout, &bytes) else {
        return;
    };
    let view = opened.view(&bytes);
    let complete = opened.verify_absent(&bytes).is_ok();
    let mut again =
        VectorsBuilder::new(writer(PartKind::Vectors), opened.shape()).expect("shape was accepted");
    for row in 0..view.len() {
        let stored = view.row(row).expect("rows have bytes");
        let range = opened.row_range(row);
        assert_eq!(stored, &bytes[range.start as usize..range.end as usize]);
        again.push(view.vector(row)).expect("rows have the stride");
    }
    assert_eq!(view.row(view.len()), None);
    if complete {
        let (built, _) = again.finish().expect("memory does not fail");
        same_sections(PartKind::Vectors, (&bytes, &layout), &built);
    }
    let stale = opened.view(data);
    let _ = (stale.row(0), stale.is_present(1), stale.data().len());
}
