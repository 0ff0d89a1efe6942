#![doc = include_str!("../docs/03-wal.md")]
//!
//! # In this module
//! [`FileHeader`] and [`RecordHeader`] encode and decode the two headers, [`Record::read`] reads
//! one record of a file that is still being written, and [`WalScanner`] reads a whole file and says
//! how it ends. Bodies of [`KIND_OPS`] records are in [`crate::wal_ops`].

use crate::bytes::{Reader, all_zero, put_u32, put_u64};
use crate::checksum;
use crate::error::{DecodeError, Why};
use crate::ids::{CollectionId, ShardId, uuid_bytes, uuid_from_bytes};
use crate::wal_ops::OpsRef;
pub use crate::wal_scan::{ScanOutcome, WalScanner};

/// First eight bytes of a WAL file.
pub const MAGIC: [u8; 8] = *b"CAIRNWAL";
/// Format version written, and newest one read.
pub const VERSION: u32 = 1;
/// Required features known to this code.
pub const FEATURES: u64 = 0;
/// Bytes of the file header; the first record starts here.
pub const FILE_HEADER_LEN: usize = 128;
/// Bytes of a record header.
pub const RECORD_HEADER_LEN: usize = 56;
/// Largest body: a bound on what a damaged length can make a reader do. A larger operation is
/// written as a run.
pub const MAX_BODY_LEN: u32 = 64 << 20;
/// Records start at multiples of this.
pub const RECORD_ALIGN: usize = 8;

/// Body is a list of operations.
pub const KIND_OPS: u8 = 1;
/// No body: says how far the file is synced.
pub const KIND_SYNC_MARKER: u8 = 2;
/// Closes the file.
pub const KIND_SEAL: u8 = 3;

/// Last record of a run: the run is complete.
pub const FLAG_COMMIT: u8 = 1;
/// Part of a run.
pub const FLAG_RUN: u8 = 2;
/// A reader that does not know the kind may skip the record.
pub const FLAG_IGNORABLE: u8 = 4;

/// Bytes of the body of a seal.
pub const SEAL_BODY_LEN: usize = 16;

const FILE_CRC_AT: usize = FILE_HEADER_LEN - 4;
const _: () = assert!(RECORD_HEADER_LEN.is_multiple_of(RECORD_ALIGN));
const _: () = assert!(FILE_HEADER_LEN.is_multiple_of(RECORD_ALIGN));

/// What a WAL file must be, from its place and the manifest.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct WalIdentity {
    /// Number in the file name.
    pub number: u64,
    /// Collection.
    pub collection: CollectionId,
    /// Shard.
    pub shard: ShardId,
}

/// The header of a WAL file.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FileHeader {
    /// What the file is.
    pub identity: WalIdentity,
    /// Random, never 0: seeds every checksum in the file, so that leftovers never verify.
    pub file_id: u64,
    /// Number of the file before it; 0 when it is the first.
    pub previous_number: u64,
    /// `file_id` of the file before it; 0 when it is the first.
    pub previous_file_id: u64,
    /// Length the file was preallocated to.
    pub file_len: u64,
}

impl FileHeader {
    /// The first [`FILE_HEADER_LEN`] bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FILE_HEADER_LEN);
        out.extend_from_slice(&MAGIC);
        put_u32(&mut out, VERSION);
        put_u32(&mut out, 0);
        put_u64(&mut out, FEATURES);
        put_u64(&mut out, 0);
        put_u64(&mut out, self.identity.number);
        put_u64(&mut out, self.file_id);
        out.extend_from_slice(&uuid_bytes(self.identity.collection.0));
        put_u32(&mut out, self.identity.shard.0);
        put_u32(&mut out, 0);
        put_u64(&mut out, self.previous_number);
        put_u64(&mut out, self.previous_file_id);
        put_u64(&mut out, self.file_len);
        out.resize(FILE_CRC_AT, 0);
        let crc = checksum::crc32(0, &out);
        put_u32(&mut out, crc);
        out
    }

    /// Reads the header at the start of `bytes`. What the file should be is not checked here.
    ///
    /// # Errors
    /// Any damage, an unknown version or feature.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(verified_header(bytes)?);
        reader.take(MAGIC.len(), "magic")?;
        let at = reader.at();
        let version = reader.u32("format version")?;
        if version != VERSION {
            let why = Why::Version {
                found: version,
                newest: VERSION,
            };
            return Err(DecodeError::new(at, "format version", why));
        }
        reader.zeros(4, "reserved")?;
        let at = reader.at();
        let unknown = reader.u64("required features")? & !FEATURES;
        if unknown != 0 {
            return Err(DecodeError::new(
                at,
                "required features",
                Why::Feature { bits: unknown },
            ));
        }
        reader.u64("optional features")?;
        Self::decode_fields(&mut reader)
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = reader.u64("file number")?;
        let file_id = at_least(reader, "file id", 1)?;
        let collection = CollectionId(uuid_from_bytes(reader.array("collection")?));
        let shard = ShardId(reader.u32("shard")?);
        reader.zeros(4, "reserved")?;
        let previous_number = reader.u64("previous number")?;
        let previous_file_id = reader.u64("previous file id")?;
        let file_len = at_least(reader, "file length", FILE_HEADER_LEN as u64)?;
        let end = FILE_CRC_AT as u64 - reader.at();
        reader.zeros(usize::try_from(end).unwrap_or(usize::MAX), "reserved")?;
        let identity = WalIdentity {
            number,
            collection,
            shard,
        };
        Ok(Self {
            identity,
            file_id,
            previous_number,
            previous_file_id,
            file_len,
        })
    }
}

fn at_least(reader: &mut Reader<'_>, field: &'static str, least: u64) -> Result<u64, DecodeError> {
    let at = reader.at();
    let value = reader.u64(field)?;
    if value >= least {
        return Ok(value);
    }
    Err(DecodeError::new(
        at,
        field,
        Why::OutOfRange {
            value,
            least,
            most: u64::MAX,
        },
    ))
}

/// Whether a file was still being made when the machine stopped: its header has not the magic or
/// not the checksum, and no record can be in it, because the header is synced before the first one.
#[must_use]
pub fn is_void(bytes: &[u8]) -> bool {
    bytes.get(FILE_HEADER_LEN..).is_none_or(all_zero) && verified_header(bytes).is_err()
}

/// The header at the start of `bytes`, if it has the magic and the right checksum.
fn verified_header(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let mut reader = Reader::new(bytes);
    let header = Reader::new(bytes).take(FILE_HEADER_LEN, "file header")?;
    if reader.array("magic")? != MAGIC {
        return Err(DecodeError::new(0, "magic", Why::Magic));
    }
    let (covered, crc) = header
        .split_at_checked(FILE_CRC_AT)
        .unwrap_or((header, &[]));
    let stored = Reader::new(crc).u32("file header crc")?;
    let computed = checksum::crc32(0, covered);
    if stored != computed {
        let why = Why::Checksum { stored, computed };
        return Err(DecodeError::new(FILE_CRC_AT as u64, "file header crc", why));
    }
    Ok(header)
}

/// The header of a record.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct RecordHeader {
    /// CRC of the rest of the header; [`RecordHeader::encode`] computes it.
    pub header_crc: u32,
    /// CRC of the body; [`RecordHeader::encode`] computes it.
    pub body_crc: u32,
    /// Length of the body; [`RecordHeader::encode`] computes it.
    pub len: u32,
    /// First SeqNo of the record; for the kinds without operations the last one before it.
    pub seq_first: u64,
    /// Last SeqNo of the record; equal to `seq_first` for the kinds without operations.
    pub seq_last: u64,
    /// Every byte of this file before this offset was synced when the record was made.
    pub synced_upto: u64,
    /// Epoch of the primary that ordered it.
    pub epoch: u32,
    /// Version of the schema the operations were resolved under.
    pub schema_version: u64,
    /// What the body is; 0 is never valid.
    pub kind: u8,
    /// `FLAG_*`.
    pub flags: u8,
}

/// CRC-32 of a body without a place, so that it can be computed before the place is known.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BodyChecksum {
    crc: u32,
    len: u32,
}

impl BodyChecksum {
    /// Of `body`.
    ///
    /// # Errors
    /// [`Why::OutOfRange`] when it is longer than [`MAX_BODY_LEN`].
    pub fn of(body: &[u8]) -> Result<Self, DecodeError> {
        let value = body.len() as u64;
        let too_long = Why::OutOfRange {
            value,
            least: 0,
            most: MAX_BODY_LEN.into(),
        };
        let len = u32::try_from(body.len())
            .ok()
            .filter(|&len| len <= MAX_BODY_LEN);
        let len = len.ok_or(DecodeError::new(0, "body length", too_long))?;
        Ok(Self {
            crc: checksum::crc32(0, body),
            len,
        })
    }

    /// Length of the body.
    #[must_use]
    pub const fn body_len(self) -> u32 {
        self.len
    }
}

/// Bytes a record with a body of this length takes, padding included.
#[must_use]
pub const fn record_len(body_len: u32) -> u64 {
    (RECORD_HEADER_LEN as u64 + body_len as u64).next_multiple_of(RECORD_ALIGN as u64)
}

impl RecordHeader {
    /// The bytes of this header in front of a body at `offset` of file `file_id`. The two checksums
    /// and the length are computed; those in `self` are not used.
    #[must_use]
    pub fn encode(&self, file_id: u64, offset: u64, body: BodyChecksum) -> [u8; RECORD_HEADER_LEN] {
        let seed = checksum::seed(&[file_id, offset]);
        let mut out = Vec::with_capacity(RECORD_HEADER_LEN);
        put_u32(&mut out, 0);
        put_u32(&mut out, checksum::reseed(seed, body.crc, body.len.into()));
        put_u64(&mut out, self.seq_first);
        put_u64(&mut out, self.seq_last);
        put_u64(&mut out, self.synced_upto);
        put_u64(&mut out, self.schema_version);
        put_u32(&mut out, body.len);
        put_u32(&mut out, self.epoch);
        out.extend_from_slice(&[self.kind, self.flags]);
        let mut header = [0; RECORD_HEADER_LEN];
        for (to, from) in header.iter_mut().zip(&out) {
            *to = *from;
        }
        if let Some((crc, covered)) = header.split_first_chunk_mut::<4>() {
            *crc = checksum::crc32(seed, covered).to_le_bytes();
        }
        header
    }

    /// Reads the header at `offset` of file `file_id`; the body is not looked at.
    ///
    /// # Errors
    /// Any damage, and anything no writer may write.
    pub fn decode(
        bytes: &[u8; RECORD_HEADER_LEN],
        file_id: u64,
        offset: u64,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::starting_at(bytes, offset);
        let header_crc = reader.u32("record header crc")?;
        let computed = checksum::crc32(checksum::seed(&[file_id, offset]), reader.rest());
        if header_crc != computed {
            let why = Why::Checksum {
                stored: header_crc,
                computed,
            };
            return Err(DecodeError::new(offset, "record header crc", why));
        }
        let body_crc = reader.u32("body crc")?;
        let seq_first = reader.u64("first seqno")?;
        let seq_last = reader.u64("last seqno")?;
        let synced_upto = reader.u64("synced upto")?;
        let schema_version = reader.u64("schema version")?;
        let len = reader.u32("body length")?;
        let epoch = reader.u32("epoch")?;
        let [kind, flags] = reader.array("kind and flags")?;
        reader.zeros(6, "reserved")?;
        let header = Self {
            header_crc,
            body_crc,
            len,
            seq_first,
            seq_last,
            synced_upto,
            epoch,
            schema_version,
            kind,
            flags,
        };
        header.check(offset)?;
        Ok(header)
    }

    /// The rules of the chapter for one record.
    fn check(&self, offset: u64) -> Result<(), DecodeError> {
        let range = |field, value, least, most| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(DecodeError::new(
                offset,
                field,
                Why::OutOfRange { value, least, most },
            ))
        };
        let has_ops = self.kind == KIND_OPS;
        let seq_most = if has_ops { u64::MAX } else { self.seq_first };
        range("kind", self.kind.into(), 1, u8::MAX.into())?;
        range("body length", self.len.into(), 0, MAX_BODY_LEN.into())?;
        range("first seqno", self.seq_first, u64::from(has_ops), u64::MAX)?;
        if self.kind <= KIND_SEAL {
            range("last seqno", self.seq_last, self.seq_first, seq_most)?;
        }
        range(
            "synced upto",
            self.synced_upto,
            FILE_HEADER_LEN as u64,
            offset,
        )?;
        let flags_ok = match self.kind {
            KIND_OPS => matches!(self.flags, 0 | FLAG_RUN) || self.flags == FLAG_RUN | FLAG_COMMIT,
            KIND_SYNC_MARKER | KIND_SEAL => self.flags == 0,
            _ => self.flags & !FLAG_IGNORABLE == 0,
        };
        if !flags_ok {
            return Err(DecodeError::new(
                offset,
                "flags",
                Why::Kind {
                    found: self.flags.into(),
                },
            ));
        }
        match self.kind {
            KIND_SYNC_MARKER => range("body length", self.len.into(), 0, 0),
            KIND_SEAL => range(
                "body length",
                self.len.into(),
                SEAL_BODY_LEN as u64,
                SEAL_BODY_LEN as u64,
            ),
            _ => Ok(()),
        }
    }

    /// Whether this record is part of a run that goes on after it.
    #[must_use]
    pub const fn run_goes_on(&self) -> bool {
        self.flags & FLAG_RUN != 0 && self.flags & FLAG_COMMIT == 0
    }
}

/// What a seal says about its file.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Seal {
    /// Records before the seal, of any kind.
    pub records: u64,
    /// Last SeqNo written to the shard up to here; 0 when there is none.
    pub seq_last: u64,
}

impl Seal {
    /// The body of the seal record.
    #[must_use]
    pub fn encode(&self) -> [u8; SEAL_BODY_LEN] {
        let mut out = [0; SEAL_BODY_LEN];
        let (records, seq_last) = out.split_at_mut(8);
        records.copy_from_slice(&self.records.to_le_bytes());
        seq_last.copy_from_slice(&self.seq_last.to_le_bytes());
        out
    }

    /// Reads the body of a seal record.
    ///
    /// # Errors
    /// When it has another length.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let records = reader.u64("record count")?;
        let seq_last = reader.u64("last seqno")?;
        reader.finish("seal")?;
        Ok(Self { records, seq_last })
    }
}

/// Appends a whole record, padding included, to `out`, whose end is `offset` in the file.
///
/// # Errors
/// [`Why::OutOfRange`] or [`Why::Kind`] when a field breaks a rule of the chapter: nothing is
/// appended then.
pub fn append_record(
    out: &mut Vec<u8>,
    file_id: u64,
    offset: u64,
    header: &RecordHeader,
    body: &[u8],
) -> Result<(), DecodeError> {
    let crc = BodyChecksum::of(body)?;
    RecordHeader {
        len: crc.len,
        ..*header
    }
    .check(offset)?;
    out.extend_from_slice(&header.encode(file_id, offset, crc));
    out.extend_from_slice(body);
    let padding = record_len(crc.len) - RECORD_HEADER_LEN as u64 - u64::from(crc.len);
    out.extend((0..padding).map(|_| 0_u8));
    Ok(())
}

/// One record of a file.
#[derive(Copy, Clone, Debug)]
pub struct Record<'a> {
    /// Where it starts in the file.
    pub offset: u64,
    /// Its header.
    pub header: RecordHeader,
    /// Its body.
    pub body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the record at `offset` of file `file_id`; `bytes` start there and may go on after it.
    /// `None` when the header is all zero: nothing has been written there yet.
    ///
    /// # Errors
    /// Any damage, padding included.
    pub fn read(bytes: &'a [u8], file_id: u64, offset: u64) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::starting_at(bytes, offset);
        let Some(head) = reader.rest().first_chunk::<RECORD_HEADER_LEN>() else {
            if all_zero(bytes) {
                return Ok(None);
            }
            return Err(reader
                .take(RECORD_HEADER_LEN, "record header")
                .err()
                .unwrap_or(DecodeError::new(offset, "record header", Why::NotZero)));
        };
        if all_zero(head) {
            return Ok(None);
        }
        let header = RecordHeader::decode(head, file_id, offset)?;
        reader.take(RECORD_HEADER_LEN, "record header")?;
        let body_at = reader.at();
        let body = reader.take_u64(header.len.into(), "body")?;
        let computed = checksum::crc32(checksum::seed(&[file_id, offset]), body);
        if computed != header.body_crc {
            let why = Why::Checksum {
                stored: header.body_crc,
                computed,
            };
            return Err(DecodeError::new(body_at, "body crc", why));
        }
        reader.pad_to(RECORD_ALIGN as u64, "record padding")?;
        Ok(Some(Self {
            offset,
            header,
            body,
        }))
    }

    /// Offset of the byte after its padding.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset + record_len(self.header.len)
    }

    /// Its operations, one for each SeqNo.
    ///
    /// # Errors
    /// When the record is of another kind, the body breaks a rule, or the numbers of operations
    /// and of SeqNos differ.
    pub fn ops(&self) -> Result<OpsRef<'a>, DecodeError> {
        if self.header.kind != KIND_OPS {
            let why = Why::Kind {
                found: self.header.kind.into(),
            };
            return Err(DecodeError::new(self.offset, "record kind", why));
        }
        let body_at = self.offset + RECORD_HEADER_LEN as u64;
        let ops = OpsRef::parse(self.body).map_err(|error| error.shifted(body_at))?;
        let seqnos = (self.header.seq_last - self.header.seq_first).saturating_add(1);
        if ops.len() as u64 != seqnos {
            let why = Why::OutOfRange {
                value: ops.len() as u64,
                least: seqnos,
                most: seqnos,
            };
            return Err(DecodeError::new(body_at, "operation count", why));
        }
        Ok(ops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u8, flags: u8) -> RecordHeader {
        let (seq_first, seq_last, synced_upto) = (5, 5, FILE_HEADER_LEN as u64);
        RecordHeader {
            seq_first,
            seq_last,
            synced_upto,
            kind,
            flags,
            ..Default::default()
        }
    }

    fn append(header: RecordHeader, body: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut out = Vec::new();
        append_record(&mut out, 1, 256, &header, body).map(|()| out)
    }

    #[test]
    fn a_record_is_padded_and_reads_back() {
        let bytes = append(header(KIND_OPS, FLAG_RUN), b"12345").unwrap();
        assert_eq!(bytes.len() as u64, record_len(5));
        let record = Record::read(&bytes, 1, 256).unwrap().unwrap();
        assert_eq!((record.body, record.end()), (&b"12345"[..], 256 + 64));
        assert_eq!(record.header.len, 5);
        assert!(record.header.run_goes_on());
    }

    #[test]
    fn every_flip_in_a_record_is_an_error() {
        let clean = append(header(KIND_OPS, 0), b"12345").unwrap();
        for at in 0..clean.len() * 8 {
            let mut bytes = clean.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(Record::read(&bytes, 1, 256).is_err(), "bit {at}");
        }
    }

    #[test]
    fn every_truncation_of_a_record_is_an_error() {
        let clean = append(header(KIND_OPS, 0), b"12345").unwrap();
        for end in 1..clean.len() {
            assert!(Record::read(&clean[..end], 1, 256).is_err(), "{end} bytes");
        }
        assert!(Record::read(&[], 1, 256).unwrap().is_none());
    }

    #[test]
    fn zeros_are_no_record() {
        assert!(Record::read(&[0; 64], 1, 256).unwrap().is_none());
        assert!(RecordHeader::decode(&[0; RECORD_HEADER_LEN], 1, 256).is_err());
    }

    #[test]
    fn a_writer_cannot_break_the_rules() {
        for bad in [
            header(0, 0),
            header(KIND_OPS, FLAG_COMMIT),
            header(KIND_OPS, FLAG_IGNORABLE),
            header(KIND_SYNC_MARKER, FLAG_RUN),
            RecordHeader {
                seq_first: 0,
                ..header(KIND_OPS, 0)
            },
            RecordHeader {
                seq_last: 4,
                ..header(KIND_OPS, 0)
            },
            RecordHeader {
                seq_last: 6,
                ..header(KIND_SYNC_MARKER, 0)
            },
            RecordHeader {
                synced_upto: 257,
                ..header(KIND_OPS, 0)
            },
            RecordHeader {
                synced_upto: 0,
                ..header(KIND_OPS, 0)
            },
        ] {
            assert!(append(bad, &[]).is_err(), "{bad:?}");
        }
        assert!(append(header(KIND_SYNC_MARKER, 0), &[1]).is_err());
        assert!(append(header(KIND_SEAL, 0), &[1]).is_err());
    }

    #[test]
    fn the_seed_of_a_body_can_come_late() {
        let body = b"some body";
        let late = BodyChecksum::of(body).unwrap();
        let head = header(KIND_OPS, 0).encode(9, 512, late);
        let decoded = RecordHeader::decode(&head, 9, 512).unwrap();
        assert_eq!(
            decoded.body_crc,
            checksum::crc32(checksum::seed(&[9, 512]), body)
        );
    }
}
