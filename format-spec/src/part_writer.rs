//! Writing parts: the one producer of the bytes that the container chapter describes.
//!
//! # Invariants
//! - Bytes go to the sink in file order, each once; memory held is one block and the tables.
//! - A part whose writing failed has no footer and therefore does not open.

use std::fmt;
use std::io::{self, Write};

use sha2::{Digest, Sha256};

use crate::container::{
    BLOCK_LEN, FOOTER_LEN, Footer, HEADER_LEN, PartHeader, Place, SECTION_ALIGN, SECTIONS_MAX,
    Section, UNIT_TABLES,
};
use crate::fields::to_usize;

const ZEROS: [u8; 4096] = [0; 4096];

/// What is known of a part once it is written: what the manifest keeps of it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PartSummary {
    /// Length of the file.
    pub len: u64,
    /// SHA-256 of the whole file.
    pub hash: [u8; 32],
}

/// Why a part could not be written.
#[derive(Debug)]
pub enum WriteError {
    /// The sink failed.
    Io(io::Error),
    /// The caller's rows cannot be stored; nothing usable was written.
    Invalid {
        /// What is wrong.
        field: &'static str,
        /// The offending value: a row, an id, a count.
        value: u64,
        /// The rule it breaks.
        rule: &'static str,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("write part"),
            Self::Invalid { field, value, rule } => {
                write!(f, "write part: {field} {value}: {rule}")
            }
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Invalid { .. } => None,
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl WriteError {
    pub(crate) const fn invalid(field: &'static str, value: u64, rule: &'static str) -> Self {
        Self::Invalid { field, value, rule }
    }
}

/// Writes a part front to back, never holding more than a block of it.
///
/// Begin a section, write its bytes, begin the next; `finish` writes tables and footer. Block
/// checksums and the content hash are computed on the way. Nothing is synced: the sink is the
/// caller's.
#[derive(Debug)]
pub struct PartWriter<W> {
    sink: W,
    header: PartHeader,
    header_crc: u32,
    place: Place,
    hash: Sha256,
    block: Vec<u8>,
    block_crcs: Vec<u32>,
    sections: Vec<Section>,
    at: u64,
}

impl<W: Write> PartWriter<W> {
    /// Begins a part with its header. The sink gets the first bytes when the first block is full.
    pub fn new(sink: W, header: PartHeader) -> Self {
        let place = header.place();
        let (bytes, header_crc) = header.encode(&place);
        let mut block = Vec::with_capacity(BLOCK_LEN);
        block.extend_from_slice(&bytes);
        Self {
            sink,
            header,
            header_crc,
            place,
            hash: Sha256::new(),
            block,
            block_crcs: Vec::new(),
            sections: Vec::new(),
            at: HEADER_LEN as u64,
        }
    }

    /// The header the part was begun with.
    pub const fn header(&self) -> &PartHeader {
        &self.header
    }

    /// Ends the section before, if any, and begins the one named `tag` at the next aligned offset.
    ///
    /// # Errors
    /// The sink's; `InvalidInput` if the tag was used before or there are too many sections.
    pub fn begin_section(&mut self, tag: u32) -> io::Result<()> {
        if self.sections.len() >= SECTIONS_MAX || self.sections.iter().any(|s| s.tag == tag) {
            let text = format!("begin section {tag:#010x}: used before, or too many sections");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.close_section()?;
        self.sections.push(Section {
            tag,
            offset: self.at,
            len: 0,
        });
        Ok(())
    }

    /// Appends bytes to the current section.
    ///
    /// # Errors
    /// The sink's; `InvalidInput` if no section was begun.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.sections.is_empty() {
            let text = "write to a part before its first section";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.emit(bytes)
    }

    /// Bytes written to the current section so far.
    pub fn section_len(&self) -> u64 {
        self.sections
            .last()
            .map_or(0, |section| self.at - section.offset)
    }

    /// Writes tables and footer and flushes the sink, which is given back unsynced.
    ///
    /// # Errors
    /// The sink's; `InvalidInput` if a derived part names no source or another part does. The file
    /// is then incomplete and does not open.
    pub fn finish(mut self) -> io::Result<(W, PartSummary)> {
        if self.header.kind.is_derived() != self.header.source_hash.is_some() {
            let text = "finish part: derived parts name their source, the others have none";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.close_section()?;
        let body_len = self.at;
        if !self.block.is_empty() {
            self.flush_block()?;
        }
        let mut tables = Vec::with_capacity(self.block_crcs.len() * 4 + 4);
        for crc in &self.block_crcs {
            tables.extend_from_slice(&crc.to_le_bytes());
        }
        tables.resize(tables.len().next_multiple_of(8), 0);
        for section in &self.sections {
            tables.extend_from_slice(&section.tag.to_le_bytes());
            tables.extend_from_slice(&0_u32.to_le_bytes());
            tables.extend_from_slice(&section.offset.to_le_bytes());
            tables.extend_from_slice(&section.len.to_le_bytes());
        }
        let footer = Footer {
            body_len,
            file_len: body_len + tables.len() as u64 + FOOTER_LEN as u64,
            block_count: count_u32(self.block_crcs.len())?,
            section_count: count_u32(self.sections.len())?,
            tables_crc: self.place.crc(UNIT_TABLES, &tables),
        };
        tables.extend_from_slice(&footer.encode(&self.header, self.header_crc, &self.place));
        self.hash.update(&tables);
        self.sink.write_all(&tables)?;
        self.sink.flush()?;
        let summary = PartSummary {
            len: footer.file_len,
            hash: self.hash.finalize().into(),
        };
        Ok((self.sink, summary))
    }

    /// Fixes the length of the current section and pads to where the next one may begin.
    fn close_section(&mut self) -> io::Result<()> {
        let at = self.at;
        if let Some(section) = self.sections.last_mut() {
            section.len = at - section.offset;
        }
        let padding = at.next_multiple_of(SECTION_ALIGN) - at;
        let zeros = ZEROS.split_at(to_usize(padding)).0;
        self.emit(zeros)
    }

    fn emit(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.block.is_empty()
                && let Some((block, rest)) = bytes.split_at_checked(BLOCK_LEN)
            {
                let unit = self.block_crcs.len() as u64;
                self.block_crcs.push(self.place.crc(unit, block));
                self.hash.update(block);
                self.sink.write_all(block)?;
                bytes = rest;
                continue;
            }
            let room = BLOCK_LEN - self.block.len();
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(fits);
            bytes = rest;
            if self.block.len() == BLOCK_LEN {
                self.flush_block()?;
            }
        }
        Ok(())
    }

    fn flush_block(&mut self) -> io::Result<()> {
        let unit = self.block_crcs.len() as u64;
        self.block_crcs.push(self.place.crc(unit, &self.block));
        self.hash.update(&self.block);
        self.sink.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

fn count_u32(count: usize) -> io::Result<u32> {
    u32::try_from(count).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "part has more than 2^32 blocks",
        )
    })
}
