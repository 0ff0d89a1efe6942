include!("parts.rs");
include!("same_sections.rs");

/// Takes the bytes as the sections of a codes part.
pub(crate) fn body(data: &[u8]) {
    use format_spec::{CodesBuilder, CodesLayout};

    let (bytes, layout) = part(PartKind::Codes, data);
    let Ok(opened) = CodesLayout::open(&layout, &bytes) else {
        return;
    };
    let _ = opened.verify_past_end(&bytes);
    let view = opened.view(&bytes);
    let writer = writer(PartKind::Codes);
    let mut builder = CodesBuilder::new(writer, view.shape()).expect("the shape was opened");
    let mut blocks = Vec::new();
    for row in 0..view.len() {
        builder.push(view.row(row)).expect("memory does not fail");
    }
    for block in 0..view.block_count() {
        blocks.extend_from_slice(view.block(block));
    }
    let built = builder.finish(view.len(), &blocks, &view.centre());
    let (built, _) = built.expect("memory does not fail");
    same_sections(PartKind::Codes, (&bytes, &layout), &built);
    let stale = opened.view(data);
    let _ = (stale.row(0), stale.block(0), stale.centre());
}
