// What the bodies on parts share: a part with correct checksums around arbitrary sections.
//
// The input is a list of sections: a tag of 4 bytes, a length of 4 bytes, the bytes. What is
// missing
// at the end is left out. A tag that was there before is skipped.

use format_spec::{
    CollectionId, PartHeader, PartId, PartIdentity, PartKind, PartLayout, PartWriter, ShardId,
};

/// The header of the parts made here.
fn header(kind: PartKind) -> PartHeader {
    let header = PartHeader::new(kind, PartId(1), CollectionId(2), ShardId(3));
    if kind.is_derived() {
        header.derived_from([4; 32])
    } else {
        header
    }
}

/// A writer of a part in memory.
fn writer(kind: PartKind) -> PartWriter<Vec<u8>> {
    PartWriter::new(Vec::new(), header(kind))
}

/// Opens and verifies a part that a writer made.
fn open(kind: PartKind, bytes: &[u8]) -> PartLayout {
    let header = header(kind);
    let identity = PartIdentity {
        kind,
        part_id: header.part_id,
        collection: header.collection,
        shard: header.shard,
        len: bytes.len() as u64,
    };
    let layout = PartLayout::open(bytes, &identity).expect("a written part opens");
    layout.verify_all(bytes).expect("a written part verifies");
    layout
}

/// The part around the sections that the input lists.
fn part(kind: PartKind, mut data: &[u8]) -> (Vec<u8>, PartLayout) {
    let mut part = writer(kind);
    while let Some((&[a, b, c, d, e, f, g, h], rest)) = data.split_first_chunk::<8>() {
        let len = (u32::from_le_bytes([e, f, g, h]) as usize).min(rest.len());
        let (section, rest) = rest.split_at(len);
        if part.begin_section(u32::from_le_bytes([a, b, c, d])).is_ok() {
            part.write(section).expect("memory does not fail");
        }
        data = rest;
    }
    let (bytes, summary) = part.finish().expect("memory does not fail");
    assert_eq!(summary.len, bytes.len() as u64);
    let layout = open(kind, &bytes);
    (bytes, layout)
}
