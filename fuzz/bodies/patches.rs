include!("parts.rs");

/// Takes the bytes as the sections of a patch part.
pub(crate) fn body(data: &[u8]) {
    use format_spec::PatchesLayout;

    let (bytes, layout) = part(PartKind::Patch, data);
    let Ok(opened) = PatchesLayout::open(&layout, &bytes) else {
        return;
    };
    let view = opened.view(&bytes);
    let mut block = Vec::new();
    for n in 0..view.block_count() {
        let whole = view.decompress_block(n, &mut block).is_ok();
        for position in view.positions_of(n) {
            let row = view.row(position).expect("positions have rows");
            assert!(row < opened.segment_rows());
            assert!(
                view.seqno(position)
                    .is_some_and(|seqno| seqno <= opened.exact_for())
            );
            assert_eq!(view.position(row), Some(position));
            assert!(view.slice(position, &block).is_ok() || !whole);
        }
    }
    let stale = opened.view(data);
    let _ = (
        stale.row(0),
        stale.position(7),
        stale.decompress_block(0, &mut block),
    );
}
