//! Reading parts: the checks of the container chapter, in its order, and the verification of
//! blocks.
//!
//! # Invariants
//! - A `PartLayout` exists only if header, footer and tables agree with each other and with the
//!   identity that was expected.
//! - It says nothing about the blocks: their bytes are trusted only after `verify_block`.

use std::ops::Range;

use crate::container::{
    BLOCK_LEN, BLOCK_LEN_U64, CONTAINER_FEATURES, CONTAINER_VERSION, FLAG_SOURCE_HASH, FOOTER_LEN,
    FOOTER_LEN_U64, FOOTER_MAGIC, Footer, HEADER_LEN, HEADER_MAGIC, PartHeader, PartIdentity,
    Place, SECTION_ALIGN, SECTION_ENTRY_LEN, SECTIONS_MAX, Section, UNIT_FOOTER, UNIT_HEADER,
    UNIT_TABLES, block_len_u32, kind_code,
};
use crate::error::{DecodeError, Why};
use crate::fields::{exact, failed, require_equal, require_zero, slice, u32_within};
use crate::ids::{PartId, ShardId, uuid_bytes};
use crate::path::PartKind;

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
    // Derived parts name their source, the others have none.
    let derived = if expect.kind.is_derived() {
        FLAG_SOURCE_HASH
    } else {
        0
    };
    let flags = u32_within(&mut fields, derived, derived, "flags")?;
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
