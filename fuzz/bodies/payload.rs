include!("parts.rs");

/// Takes the bytes as the sections of a payload part.
pub(crate) fn body(data: &[u8]) {
    use format_spec::PayloadLayout;

    let (bytes, layout) = part(PartKind::Payload, data);
    let Ok(opened) = PayloadLayout::open(&layout, &bytes) else {
        return;
    };
    let view = opened.view(&bytes);
    let mut block = Vec::new();
    let mut next = 0;
    for n in 0..view.block_count() {
        let rows = view.rows_of(n);
        assert_eq!((rows.start, rows.is_empty()), (next, false));
        next = rows.end;
        if view.decompress_block(n, &mut block).is_ok() {
            for row in rows {
                assert_eq!(view.block_of(row), Some(n));
                view.slice(row, &block)
                    .expect("a decompressed block has its rows");
            }
        }
        let _ = view.slice(0, &block);
    }
    assert_eq!(next, view.len());
    assert!(
        view.decompress_block(view.block_count(), &mut block)
            .is_err()
    );
    let _ = opened.view(data).decompress_block(0, &mut block);
}
