include!("parts.rs");

/// Opens the bytes as a part under the identity they claim; then wraps them into a part and damages
/// one byte of it.
pub(crate) fn body(data: &[u8]) {
    let word = |at: usize| {
        data.get(at..at + 8).map_or(0, |b| {
            u64::from_le_bytes(b.try_into().expect("eight bytes"))
        })
    };
    let kind = data
        .get(12)
        .and_then(|&tag| PartKind::from_tag(tag))
        .unwrap_or(PartKind::Rows);
    let collection = data
        .get(48..64)
        .map_or([0; 16], |b| b.try_into().expect("sixteen bytes"));
    let identity = PartIdentity {
        kind,
        part_id: PartId(word(40)),
        collection: CollectionId(format_spec::ids::uuid_from_bytes(collection)),
        shard: ShardId(word(64) as u32),
        len: data.len() as u64,
    };
    if let Ok(layout) = PartLayout::open(data, &identity) {
        let verified = layout.verify_all(data);
        let mut again = PartWriter::new(Vec::new(), layout.header().clone());
        for (tag, range) in layout.sections() {
            assert!(layout.verify_section(data, tag).is_ok() || verified.is_err());
            again.begin_section(tag).expect("tags are unique");
            let section = &data[range.start as usize..range.end as usize];
            again.write(section).expect("memory does not fail");
        }
        let (again, _) = again.finish().expect("memory does not fail");
        assert!(verified.is_err() || again == data, "one part, one encoding");
    }
    let (mut bytes, layout) = part(kind, data);
    let at = word(0) as usize % bytes.len();
    bytes[at] ^= data.first().copied().unwrap_or(0) | 1;
    let header = layout.header();
    let identity = PartIdentity {
        kind,
        part_id: header.part_id,
        collection: header.collection,
        shard: header.shard,
        len: bytes.len() as u64,
    };
    let damaged = PartLayout::open(&bytes, &identity);
    assert!(
        damaged
            .and_then(|layout| layout.verify_all(&bytes))
            .is_err(),
        "byte {at}"
    );
}
