#![doc = include_str!("../docs/02-container.md")]

use std::ops::Range;

use crate::error::{DecodeError, Why};
use crate::fields::{exact, failed, require_equal, require_zero, slice, u32_within};
use crate::ids::{CollectionId, PartId, ShardId, uuid_bytes};
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

const BLOCK_LEN_U64: u64 = BLOCK_LEN as u64;
const FOOTER_LEN_U64: u64 = FOOTER_LEN as u64;
const SECTION_ENTRY_LEN: u64 = 24;
const HEADER_MAGIC: &[u8; 8] = b"CAIRNPRT";
const FOOTER_MAGIC: &[u8; 8] = b"CAIRNEND";
const UNIT_HEADER: u64 = u64::MAX;
pub(crate) const UNIT_TABLES: u64 = u64::MAX - 1;
const UNIT_FOOTER: u64 = u64::MAX - 2;
const FLAG_SOURCE_HASH: u32 = 1;
/// Feature bits 0 to 15 are the container's own; version 1 knows none.
const CONTAINER_FEATURES: u64 = 0xFFFF;

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
    fn new(collection: CollectionId, shard: ShardId, kind: PartKind, part_id: PartId) -> Self {
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
    const fn end(self) -> u64 {
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
    fn tables_len(&self) -> u64 {
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

/// Where everything is in an opened part: offsets only, without the bytes.
///
/// `open` has checked header, footer, tables and their agreement with the expected identity. It
/// has not looked at the blocks.
#[derive(Clone, Debug)]
pub struct PartLayout {
    header: PartHeader,
    place: Place,
    footer: Footer,
    sections: Vec<Section>,
}

impl PartLayout {
    /// Reads header, footer and tables of the part in `bytes`, the whole file.
    ///
    /// # Errors
    /// The first thing that is not as the chapter and `expect` demand.
    pub fn open(bytes: &[u8], expect: &PartIdentity) -> Result<Self, DecodeError> {
        let have = bytes.len() as u64;
        let least = SECTION_ALIGN + FOOTER_LEN_U64;
        if have < expect.len || have < least {
            let why = Why::Truncated {
                need: expect.len.max(least),
                have,
            };
            return Err(failed(0, "part", why));
        }
        if have > expect.len {
            return Err(failed(
                expect.len,
                "part",
                Why::Trailing {
                    bytes: have - expect.len,
                },
            ));
        }
        let place = Place::new(expect.collection, expect.shard, expect.kind, expect.part_id);
        let (header, header_crc) = read_header(bytes, expect, &place)?;
        let footer = read_footer(bytes, &header, header_crc, &place)?;
        let sections = read_tables(bytes, &footer, &place)?;
        Ok(Self {
            header,
            place,
            footer,
            sections,
        })
    }

    /// What the header says.
    pub const fn header(&self) -> &PartHeader {
        &self.header
    }

    /// Length of the file.
    pub const fn len(&self) -> u64 {
        self.footer.file_len
    }

    /// Never: a part has at least a header and a footer.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Bytes of a block, except the last, which may be shorter.
    pub const fn block_len(&self) -> usize {
        BLOCK_LEN
    }

    /// Number of blocks.
    pub const fn block_count(&self) -> u32 {
        self.footer.block_count
    }

    /// Where block `n` is in the file.
    pub fn block_range(&self, n: u32) -> Option<Range<u64>> {
        if n >= self.footer.block_count {
            return None;
        }
        let start = u64::from(n) * BLOCK_LEN_U64;
        Some(start..(start + BLOCK_LEN_U64).min(self.footer.body_len))
    }

    /// The blocks that a range of the file touches.
    pub fn blocks_of(&self, range: Range<u64>) -> Range<u32> {
        if range.is_empty() {
            return 0..0;
        }
        let clamp = |n: u64| {
            u32::try_from(n)
                .unwrap_or(u32::MAX)
                .min(self.footer.block_count)
        };
        clamp(range.start / BLOCK_LEN_U64)..clamp(range.end.div_ceil(BLOCK_LEN_U64))
    }

    /// Where the section named `tag` is in the file.
    pub fn section(&self, tag: u32) -> Option<Range<u64>> {
        let section = self.sections.iter().find(|section| section.tag == tag)?;
        Some(section.offset..section.end())
    }

    /// The tags and ranges of all sections, in file order.
    pub fn sections(&self) -> impl Iterator<Item = (u32, Range<u64>)> {
        self.sections
            .iter()
            .map(|section| (section.tag, section.offset..section.end()))
    }

    /// Verifies block `n` of the part in `bytes`, the whole file.
    ///
    /// # Errors
    /// `Checksum` at the offset of the block; `OutOfRange` if there is no such block.
    pub fn verify_block(&self, bytes: &[u8], n: u32) -> Result<(), DecodeError> {
        let stored = self.stored_checksum(bytes, n)?;
        let range = self.block_range(n).unwrap_or_default();
        self.verify_block_bytes(slice(bytes, &range, "block")?, n, stored)
    }

    /// The checksum of block `n` from the block table of the part in `bytes`, the whole file.
    ///
    /// # Errors
    /// `OutOfRange` if there is no such block, `Truncated` if `bytes` is not the whole file.
    pub fn stored_checksum(&self, bytes: &[u8], n: u32) -> Result<u32, DecodeError> {
        let count = self.footer.block_count;
        if n >= count {
            let (value, most) = (n.into(), u64::from(count).saturating_sub(1));
            return Err(failed(
                0,
                "block",
                Why::OutOfRange {
                    value,
                    least: 0,
                    most,
                },
            ));
        }
        let at = self.footer.body_len + 4 * u64::from(n);
        let entry = slice(bytes, &(at..at + 4), "block table")?;
        let mut fields = exact(entry, at, 4, "block table")?;
        fields.u32("block table")
    }

    /// Verifies the bytes of block `n`, read on their own, against its stored checksum.
    ///
    /// # Errors
    /// `Checksum` at the offset of the block.
    pub fn verify_block_bytes(&self, block: &[u8], n: u32, stored: u32) -> Result<(), DecodeError> {
        let computed = self.place.crc(n.into(), block);
        if computed != stored {
            let at = u64::from(n) * BLOCK_LEN_U64;
            return Err(failed(at, "block", Why::Checksum { stored, computed }));
        }
        Ok(())
    }

    /// Verifies the blocks of one section of the part in `bytes`, the whole file.
    ///
    /// # Errors
    /// The first block that does not verify; `Kind` if there is no such section.
    pub fn verify_section(&self, bytes: &[u8], tag: u32) -> Result<(), DecodeError> {
        let range = self.required_section(tag)?;
        self.blocks_of(range)
            .try_for_each(|n| self.verify_block(bytes, n))
    }

    /// Verifies every block and all padding of the part in `bytes`, the whole file.
    ///
    /// # Errors
    /// The first block that does not verify, or the first padding byte that is not zero.
    pub fn verify_all(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        (0..self.footer.block_count).try_for_each(|n| self.verify_block(bytes, n))?;
        let mut end = HEADER_LEN as u64;
        for section in &self.sections {
            let range = end..section.offset;
            require_zero(slice(bytes, &range, "padding")?, end, "padding")?;
            end = section.end();
        }
        let range = end..self.footer.body_len;
        require_zero(slice(bytes, &range, "padding")?, end, "padding")
    }

    /// That this part is of the kind, version and features that a chapter reads.
    pub(crate) fn require(
        &self,
        kind: PartKind,
        newest: u32,
        features: u64,
    ) -> Result<(), DecodeError> {
        let header = &self.header;
        if header.kind != kind {
            return Err(failed(
                12,
                "kind",
                Why::Kind {
                    found: kind_code(header.kind),
                },
            ));
        }
        if header.format_version == 0 || header.format_version > newest {
            let found = header.format_version;
            return Err(failed(16, "format_version", Why::Version { found, newest }));
        }
        let unknown = header.features_required & !(features | CONTAINER_FEATURES);
        if unknown != 0 {
            return Err(failed(
                24,
                "features_required",
                Why::Feature { bits: unknown },
            ));
        }
        Ok(())
    }

    /// The range of a section that the chapter demands.
    pub(crate) fn required_section(&self, tag: u32) -> Result<Range<u64>, DecodeError> {
        self.section(tag).ok_or(failed(
            self.footer.body_len,
            "section",
            Why::Kind { found: tag },
        ))
    }

    /// The range and bytes of a section that the chapter demands.
    pub(crate) fn section_bytes<'a>(
        &self,
        bytes: &'a [u8],
        tag: u32,
        field: &'static str,
    ) -> Result<(Range<u64>, &'a [u8]), DecodeError> {
        let range = self.required_section(tag)?;
        let section = slice(bytes, &range, field)?;
        Ok((range, section))
    }
}

fn read_header(
    bytes: &[u8],
    expect: &PartIdentity,
    place: &Place,
) -> Result<(PartHeader, u32), DecodeError> {
    let record = slice(bytes, &(0..HEADER_LEN as u64), "header")?;
    let mut fields = exact(record, 0, HEADER_LEN as u64, "header")?;
    if fields.array("header magic")? != *HEADER_MAGIC {
        return Err(failed(0, "header magic", Why::Magic));
    }
    let found = fields.u32("container_version")?;
    if found != CONTAINER_VERSION {
        let why = Why::Version {
            found,
            newest: CONTAINER_VERSION,
        };
        return Err(failed(8, "container_version", why));
    }
    let header_crc = check_record(record, HEADER_LEN - 4, place, UNIT_HEADER, 0)?;
    let kind = fields.u32("kind")?;
    if kind != kind_code(expect.kind) {
        return Err(failed(12, "kind", Why::Kind { found: kind }));
    }
    let format_version = u32_within(&mut fields, 1, u32::MAX, "format_version")?;
    u32_within(&mut fields, block_len_u32(), block_len_u32(), "block_len")?;
    let features_required = fields.u64("features_required")?;
    if features_required & CONTAINER_FEATURES != 0 {
        let why = Why::Feature {
            bits: features_required & CONTAINER_FEATURES,
        };
        return Err(failed(24, "features_required", why));
    }
    let features_optional = fields.u64("features_optional")?;
    let part_id = PartId(fields.u64("part_id")?);
    let collection = fields.array::<16>("collection")?;
    let shard = ShardId(fields.u32("shard")?);
    let same = part_id == expect.part_id
        && collection == uuid_bytes(expect.collection.0)
        && shard == expect.shard;
    if !same {
        return Err(failed(40, "part_id", Why::Identity));
    }
    let flags = u32_within(&mut fields, 0, FLAG_SOURCE_HASH, "flags")?;
    let hash = fields.array::<32>("source_hash")?;
    if flags == 0 {
        require_zero(&hash, 72, "source_hash")?;
    }
    let source_hash = (flags == FLAG_SOURCE_HASH).then_some(hash);
    fields.zeros(20, "header")?;
    let header = PartHeader {
        kind: expect.kind,
        part_id,
        collection: expect.collection,
        shard,
        format_version,
        features_required,
        features_optional,
        source_hash,
    };
    Ok((header, header_crc))
}

fn read_footer(
    bytes: &[u8],
    header: &PartHeader,
    header_crc: u32,
    place: &Place,
) -> Result<Footer, DecodeError> {
    let file_len = bytes.len() as u64;
    let at = file_len.saturating_sub(FOOTER_LEN_U64);
    let record = slice(bytes, &(at..file_len), "footer")?;
    let mut fields = exact(record, at, FOOTER_LEN_U64, "footer")?;
    if !record.ends_with(FOOTER_MAGIC) {
        return Err(failed(file_len - 8, "footer magic", Why::Magic));
    }
    check_record(record, FOOTER_LEN - 12, place, UNIT_FOOTER, at)?;
    let footer = Footer {
        body_len: fields.u64("body_len")?,
        file_len: fields.u64("file_len")?,
        block_count: fields.u32("block_count")?,
        section_count: fields.u32("section_count")?,
        tables_crc: 0,
    };
    require_equal(footer.file_len, file_len, at + 8, "file_len")?;
    require_equal(fields.u64("part_id")?, header.part_id.0, at + 24, "part_id")?;
    require_equal(
        fields.u32("kind")?.into(),
        kind_code(header.kind).into(),
        at + 32,
        "kind",
    )?;
    let version = fields.u32("container_version")?;
    require_equal(
        version.into(),
        CONTAINER_VERSION.into(),
        at + 36,
        "container_version",
    )?;
    require_equal(
        fields.u32("header_crc")?.into(),
        header_crc.into(),
        at + 40,
        "header_crc",
    )?;
    let footer = Footer {
        tables_crc: fields.u32("tables_crc")?,
        ..footer
    };
    fields.zeros(4, "footer")?;
    let least = SECTION_ALIGN;
    if footer.body_len < least
        || footer.body_len > at
        || !footer.body_len.is_multiple_of(SECTION_ALIGN)
    {
        let why = Why::OutOfRange {
            value: footer.body_len,
            least,
            most: at,
        };
        return Err(failed(at, "body_len", why));
    }
    let blocks = footer.body_len.div_ceil(BLOCK_LEN_U64);
    require_equal(footer.block_count.into(), blocks, at + 16, "block_count")?;
    if footer.section_count as usize > SECTIONS_MAX {
        let (value, most) = (footer.section_count.into(), SECTIONS_MAX as u64);
        let why = Why::OutOfRange {
            value,
            least: 0,
            most,
        };
        return Err(failed(at + 20, "section_count", why));
    }
    let end = footer.body_len + footer.tables_len() + FOOTER_LEN_U64;
    require_equal(footer.file_len, end, at + 8, "file_len")?;
    Ok(footer)
}

fn read_tables(bytes: &[u8], footer: &Footer, place: &Place) -> Result<Vec<Section>, DecodeError> {
    let mut at = footer.body_len;
    let tables = slice(bytes, &(at..at + footer.tables_len()), "tables")?;
    let (stored, computed) = (footer.tables_crc, place.crc(UNIT_TABLES, tables));
    if stored != computed {
        return Err(failed(at, "tables", Why::Checksum { stored, computed }));
    }
    let block_table = 4 * u64::from(footer.block_count);
    let padded = block_table.next_multiple_of(8);
    let padding = at + block_table..at + padded;
    require_zero(
        slice(bytes, &padding, "block table")?,
        padding.start,
        "block table",
    )?;
    at += padded;
    let mut sections: Vec<Section> = Vec::new();
    let mut offset = SECTION_ALIGN;
    for _ in 0..footer.section_count {
        let entry = slice(bytes, &(at..at + SECTION_ENTRY_LEN), "section table")?;
        let mut fields = exact(entry, at, SECTION_ENTRY_LEN, "section table")?;
        let tag = fields.u32("section tag")?;
        fields.zeros(4, "section table")?;
        let found = fields.u64("section offset")?;
        let len = fields.u64("section len")?;
        require_equal(found, offset, at + 8, "section offset")?;
        let most = footer.body_len.saturating_sub(offset);
        if len > most {
            let why = Why::OutOfRange {
                value: len,
                least: 0,
                most,
            };
            return Err(failed(at + 16, "section len", why));
        }
        if sections.iter().any(|section| section.tag == tag) {
            return Err(failed(at, "section tag", Why::Order));
        }
        sections.push(Section { tag, offset, len });
        offset = (offset + len).next_multiple_of(SECTION_ALIGN);
        at += SECTION_ENTRY_LEN;
    }
    require_equal(footer.body_len, offset, at, "body_len")?;
    Ok(sections)
}

/// Checks the CRC that follows the first `covered` bytes of a record, and returns it.
fn check_record(
    record: &[u8],
    covered: usize,
    place: &Place,
    unit: u64,
    at: u64,
) -> Result<u32, DecodeError> {
    let (body, rest) = record.split_at_checked(covered).unwrap_or((record, &[]));
    let at = at + covered as u64;
    let mut fields = exact(rest.get(..4).unwrap_or_default(), at, 4, "checksum")?;
    let stored = fields.u32("checksum")?;
    let computed = place.crc(unit, body);
    if stored != computed {
        return Err(failed(at, "checksum", Why::Checksum { stored, computed }));
    }
    Ok(stored)
}

const fn block_len_u32() -> u32 {
    16_384
}

const fn kind_code(kind: PartKind) -> u32 {
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
