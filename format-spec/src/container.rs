#![doc = include_str!("../docs/02-container.md")]

use crate::ids::{CollectionId, PartId, ShardId, uuid_bytes};
pub use crate::part_layout::PartLayout;
pub use crate::part_writer::{PartSummary, PartWriter, WriteError};
use crate::path::PartKind;

/// Bytes of a block, the unit of verification.
pub const BLOCK_LEN: usize = 16_384;
/// Sections start at multiples of this.
pub const SECTION_ALIGN: u64 = 4096;
/// The newest container version this crate reads, and the one it writes.
pub const CONTAINER_VERSION: u32 = 1;
/// Most sections in a part.
pub const SECTIONS_MAX: usize = 256;
/// Bytes of the header.
pub const HEADER_LEN: usize = 128;
/// Bytes of the footer.
pub const FOOTER_LEN: usize = 64;

pub(crate) const BLOCK_LEN_U64: u64 = BLOCK_LEN as u64;
pub(crate) const FOOTER_LEN_U64: u64 = FOOTER_LEN as u64;
pub(crate) const SECTION_ENTRY_LEN: u64 = 24;
pub(crate) const HEADER_MAGIC: &[u8; 8] = b"CAIRNPRT";
pub(crate) const FOOTER_MAGIC: &[u8; 8] = b"CAIRNEND";
pub(crate) const UNIT_HEADER: u64 = u64::MAX;
pub(crate) const UNIT_TABLES: u64 = u64::MAX - 1;
pub(crate) const UNIT_FOOTER: u64 = u64::MAX - 2;
pub(crate) const FLAG_SOURCE_HASH: u32 = 1;
/// Feature bits 0 to 15 are the container's own; version 1 knows none.
pub(crate) const CONTAINER_FEATURES: u64 = 0xFFFF;

const _: () = assert!(BLOCK_LEN_U64.is_multiple_of(SECTION_ALIGN));
const _: () = assert!(HEADER_LEN < 4096 && SECTION_ALIGN == 4096);

/// A section tag from its four characters.
pub const fn tag(characters: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*characters)
}

/// What the header of a part says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartHeader {
    /// What the part holds.
    pub kind: PartKind,
    /// Its id, unique in the shard that wrote it.
    pub part_id: PartId,
    /// The collection it was written for.
    pub collection: CollectionId,
    /// The shard it was written for.
    pub shard: ShardId,
    /// Version of the chapter of its kind.
    pub format_version: u32,
    /// Features without which the part cannot be read.
    pub features_required: u64,
    /// Features a reader may ignore.
    pub features_optional: u64,
    /// Content hash of the part this one was derived from.
    pub source_hash: Option<[u8; 32]>,
}

impl PartHeader {
    /// The header of a new part in the newest format version, without features and source.
    pub const fn new(
        kind: PartKind,
        part_id: PartId,
        collection: CollectionId,
        shard: ShardId,
    ) -> Self {
        Self {
            kind,
            part_id,
            collection,
            shard,
            format_version: 1,
            features_required: 0,
            features_optional: 0,
            source_hash: None,
        }
    }

    /// The same header, naming the part this one is derived from.
    #[must_use]
    pub const fn derived_from(mut self, source_hash: [u8; 32]) -> Self {
        self.source_hash = Some(source_hash);
        self
    }

    pub(crate) fn place(&self) -> Place {
        Place::new(self.collection, self.shard, self.kind, self.part_id)
    }

    pub(crate) fn encode(&self, place: &Place) -> ([u8; HEADER_LEN], u32) {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(HEADER_MAGIC);
        out.extend_from_slice(&CONTAINER_VERSION.to_le_bytes());
        out.extend_from_slice(&kind_code(self.kind).to_le_bytes());
        out.extend_from_slice(&self.format_version.to_le_bytes());
        out.extend_from_slice(&block_len_u32().to_le_bytes());
        out.extend_from_slice(&self.features_required.to_le_bytes());
        out.extend_from_slice(&self.features_optional.to_le_bytes());
        out.extend_from_slice(&self.part_id.0.to_le_bytes());
        out.extend_from_slice(&uuid_bytes(self.collection.0));
        out.extend_from_slice(&self.shard.0.to_le_bytes());
        let flags = if self.source_hash.is_some() {
            FLAG_SOURCE_HASH
        } else {
            0
        };
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&self.source_hash.unwrap_or_default());
        out.resize(HEADER_LEN - 4, 0);
        let crc = place.crc(UNIT_HEADER, &out);
        out.extend_from_slice(&crc.to_le_bytes());
        let mut header = [0; HEADER_LEN];
        header.copy_from_slice(&out);
        (header, crc)
    }
}

/// What the opener of a part knows about it beforehand, from the manifest.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PartIdentity {
    /// What the part holds.
    pub kind: PartKind,
    /// Its id.
    pub part_id: PartId,
    /// The collection it was written for.
    pub collection: CollectionId,
    /// The shard it was written for.
    pub shard: ShardId,
    /// Length of the file.
    pub len: u64,
}

/// Binds checksums to one file: the hasher has taken the first 32 bytes of the place prefix.
#[derive(Clone, Debug)]
pub(crate) struct Place(crc32fast::Hasher);

impl Place {
    pub(crate) fn new(
        collection: CollectionId,
        shard: ShardId,
        kind: PartKind,
        part_id: PartId,
    ) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&uuid_bytes(collection.0));
        hasher.update(&shard.0.to_le_bytes());
        hasher.update(&kind_code(kind).to_le_bytes());
        hasher.update(&part_id.0.to_le_bytes());
        Self(hasher)
    }

    pub(crate) fn crc(&self, unit: u64, bytes: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(&unit.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// A section as the section table has it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Section {
    pub(crate) tag: u32,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Section {
    pub(crate) const fn end(self) -> u64 {
        self.offset + self.len
    }
}

/// The footer's own figures; the rest repeats the header.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Footer {
    pub(crate) body_len: u64,
    pub(crate) file_len: u64,
    pub(crate) block_count: u32,
    pub(crate) section_count: u32,
    pub(crate) tables_crc: u32,
}

impl Footer {
    /// Bytes between the body and the footer.
    pub(crate) fn tables_len(&self) -> u64 {
        let block_table = (4 * u64::from(self.block_count)).next_multiple_of(8);
        block_table + SECTION_ENTRY_LEN * u64::from(self.section_count)
    }

    pub(crate) fn encode(&self, header: &PartHeader, header_crc: u32, place: &Place) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_LEN);
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.file_len.to_le_bytes());
        out.extend_from_slice(&self.block_count.to_le_bytes());
        out.extend_from_slice(&self.section_count.to_le_bytes());
        out.extend_from_slice(&header.part_id.0.to_le_bytes());
        out.extend_from_slice(&kind_code(header.kind).to_le_bytes());
        out.extend_from_slice(&CONTAINER_VERSION.to_le_bytes());
        out.extend_from_slice(&header_crc.to_le_bytes());
        out.extend_from_slice(&self.tables_crc.to_le_bytes());
        out.extend_from_slice(&0_u32.to_le_bytes());
        let crc = place.crc(UNIT_FOOTER, &out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(FOOTER_MAGIC);
        out
    }
}

pub(crate) const fn block_len_u32() -> u32 {
    16_384
}

pub(crate) const fn kind_code(kind: PartKind) -> u32 {
    kind.tag() as u32
}

/// What the tests of the chapters share: parts in memory, under one identity.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    pub(crate) const COLLECTION: CollectionId = CollectionId(0x0011_2233_4455_6677_8899);
    pub(crate) const PART: PartId = PartId(0x51);
    pub(crate) const SHARD: ShardId = ShardId(3);

    pub(crate) fn writer(kind: PartKind) -> PartWriter<Vec<u8>> {
        let header = PartHeader::new(kind, PART, COLLECTION, SHARD);
        let source = kind.is_derived().then_some([7; 32]);
        PartWriter::new(
            Vec::new(),
            source.map_or(header.clone(), |hash| header.derived_from(hash)),
        )
    }

    pub(crate) fn identity(kind: PartKind, len: usize) -> PartIdentity {
        let len = len as u64;
        PartIdentity {
            kind,
            part_id: PART,
            collection: COLLECTION,
            shard: SHARD,
            len,
        }
    }

    /// Opens and verifies a part made by [`writer`].
    pub(crate) fn layout(kind: PartKind, bytes: &[u8]) -> PartLayout {
        let layout = PartLayout::open(bytes, &identity(kind, bytes.len())).unwrap();
        layout.verify_all(bytes).unwrap();
        layout
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{identity, layout, writer};
    use super::*;
    use crate::Why;
    use crate::checksum::sha256;
    use proptest::prelude::*;

    const KIND: PartKind = PartKind::Rows;

    fn part(sections: &[Vec<u8>], piece: usize) -> (Vec<u8>, PartSummary) {
        let mut part = writer(KIND);
        for (n, section) in sections.iter().enumerate() {
            part.begin_section(n as u32).unwrap();
            for bytes in section.chunks(piece) {
                part.write(bytes).unwrap();
            }
            assert_eq!(part.section_len(), section.len() as u64);
        }
        part.finish().unwrap()
    }

    #[test]
    fn a_part_without_sections_is_a_header_and_tables() {
        let (bytes, summary) = part(&[], 1);
        assert_eq!(bytes.len(), 4096 + 8 + 64);
        assert_eq!(summary.len, bytes.len() as u64);
        assert_eq!(layout(KIND, &bytes).block_count(), 1);
    }

    #[test]
    fn tags_are_unique_and_bytes_need_a_section() {
        let mut part = writer(KIND);
        assert!(part.write(b"x").is_err());
        part.begin_section(1).unwrap();
        assert!(part.begin_section(1).is_err());
    }

    // A part of another shard, a stale file under a reused name: each must fail on its own.
    #[test]
    fn another_identity_does_not_open() {
        let (bytes, _) = part(&[vec![1; 5000]], 64);
        let good = identity(KIND, bytes.len());
        assert!(PartLayout::open(&bytes, &good).is_ok());
        let others = [
            PartIdentity {
                kind: PartKind::Payload,
                ..good
            },
            PartIdentity {
                part_id: PartId(9),
                ..good
            },
            PartIdentity {
                collection: CollectionId(9),
                ..good
            },
            PartIdentity {
                shard: ShardId(9),
                ..good
            },
            PartIdentity {
                len: good.len - 1,
                ..good
            },
            PartIdentity {
                len: good.len + 1,
                ..good
            },
        ];
        for other in others {
            assert!(PartLayout::open(&bytes, &other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn blocks_in_each_others_place_do_not_verify() {
        let section = (0..3 * BLOCK_LEN).map(|at| (at / 1000) as u8).collect();
        let (mut bytes, _) = part(&[section], 1000);
        let layout = layout(KIND, &bytes);
        bytes.copy_within(BLOCK_LEN..2 * BLOCK_LEN, 2 * BLOCK_LEN);
        assert_eq!(layout.verify_block(&bytes, 1), Ok(()));
        let error = layout.verify_block(&bytes, 2).unwrap_err();
        assert_eq!(error.at, 2 * BLOCK_LEN as u64);
        assert!(matches!(error.why, Why::Checksum { .. }));
        assert!(layout.verify_block(&bytes, 4).is_err());
        assert!(layout.verify_section(&bytes, 0).is_err());
    }

    #[test]
    fn blocks_of_a_range_are_those_it_touches() {
        let (bytes, _) = part(&[vec![1; 3 * BLOCK_LEN]], 1000);
        let layout = layout(KIND, &bytes);
        let block = BLOCK_LEN as u64;
        assert_eq!(layout.blocks_of(0..1), 0..1);
        assert_eq!(layout.blocks_of(block - 1..block + 1), 0..2);
        assert_eq!(layout.blocks_of(block..2 * block), 1..2);
        assert_eq!(layout.blocks_of(5..5), 0..0);
        assert_eq!(layout.blocks_of(0..u64::MAX), 0..layout.block_count());
    }

    #[test]
    fn unknown_required_features_are_named() {
        let header = PartHeader {
            features_required: 1 << 20,
            ..PartHeader::new(KIND, testing::PART, testing::COLLECTION, testing::SHARD)
        };
        let (bytes, _) = PartWriter::new(Vec::new(), header).finish().unwrap();
        let error = layout(KIND, &bytes).require(KIND, 1, 0).unwrap_err();
        assert_eq!(error.why, Why::Feature { bits: 1 << 20 });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn sections_round_trip_however_they_are_written(
            sections in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..40),
                    prop::collection::vec(any::<u8>(), 4090..4100),
                    prop::collection::vec(any::<u8>(), 0..50_000),
                ],
                0..6,
            ),
            piece in prop_oneof![1..50_usize, 16_000..40_000_usize],
        ) {
            let (bytes, summary) = part(&sections, piece);
            prop_assert_eq!(summary.len, bytes.len() as u64);
            prop_assert_eq!(summary.hash, sha256(&bytes));
            let layout = layout(KIND, &bytes);
            for (n, section) in sections.iter().enumerate() {
                let (range, found) = layout.section_bytes(&bytes, n as u32, "section").unwrap();
                prop_assert_eq!(range.start % SECTION_ALIGN, 0);
                prop_assert_eq!(found, &section[..]);
            }
            prop_assert_eq!(layout.section(77), None);
        }

        #[test]
        fn a_damaged_byte_is_always_seen(
            section in prop::collection::vec(any::<u8>(), 0..40_000),
            at: prop::sample::Index,
            mask in 1..=255_u8,
        ) {
            let (mut bytes, _) = part(&[section], 999);
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            let opened = PartLayout::open(&bytes, &identity(KIND, bytes.len()));
            prop_assert!(opened.and_then(|layout| layout.verify_all(&bytes)).is_err());
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
            prop_assert!(PartLayout::open(&bytes, &identity(KIND, bytes.len())).is_err());
        }
    }
}
