// The comparison that the bodies on parts with one encoding share; not those on payloads, whose
// compression is not unique.

/// What was accepted completely must be what the builder writes: one value, one encoding.
fn same_sections(kind: PartKind, found: (&[u8], &PartLayout), built: &[u8]) {
    let (bytes, layout) = found;
    for (tag, range) in open(kind, built).sections() {
        let expected = &built[range.start as usize..range.end as usize];
        let range = layout
            .section(tag)
            .expect("accepted parts have all sections");
        assert_eq!(
            &bytes[range.start as usize..range.end as usize],
            expected,
            "section {tag:#x}"
        );
    }
}
