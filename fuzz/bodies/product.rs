include!("parts.rs");
include!("same_sections.rs");

/// Takes the bytes as the sections of a product part.
pub(crate) fn body(data: &[u8]) {
    use format_spec::{ProductBuilder, ProductLayout};

    let (bytes, layout) = part(PartKind::Product, data);
    let Ok(opened) = ProductLayout::open(&layout, &bytes) else {
        return;
    };
    let view = opened.view(&bytes);
    let stale = opened.view(data);
    let _ = (stale.row(0), stale.is_present(0), stale.book());
    if opened.verify_codes(&bytes).is_err() {
        return;
    }
    let writer = writer(PartKind::Product);
    let mut builder = ProductBuilder::new(writer, view.shape()).expect("the shape was opened");
    for row in 0..view.len() {
        let codes = view.is_present(row).then(|| view.row(row));
        builder.push(codes).expect("the codes were verified");
    }
    let built = builder.finish(&view.book());
    let (built, _) = built.expect("memory does not fail");
    same_sections(PartKind::Product, (&bytes, &layout), &built);
}
