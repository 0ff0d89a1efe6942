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

/// Whether a file whose header does not verify was still being made when the machine stopped: no
/// record can be in it, because the header is synced before the first one is written.
#[must_use]
pub fn is_void(bytes: &[u8]) -> bool {
    bytes.get(FILE_HEADER_LEN..).is_none_or(all_zero)
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

/// How a WAL file ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ScanOutcome {
    /// Zeros, or nothing, after the last record.
    CleanEnd {
        /// A seal closes the file.
        sealed: bool,
    },
    /// Bytes that are no record, and nothing says they were ever synced: a write that power loss
    /// cut off. Nothing acknowledged is lost.
    TornTail {
        /// Where the last valid record ends.
        at: u64,
    },
    /// Bytes that are no record although they were synced, or a record that cannot stand here.
    Corrupt {
        /// Where the damaged record starts.
        at: u64,
        /// What is wrong with it.
        field: &'static str,
        /// The record that proves it.
        proof_at: u64,
    },
    /// A valid record of a kind this code does not know and may not skip.
    Unsupported {
        /// Where it starts.
        at: u64,
        /// Its kind.
        kind: u8,
    },
}

/// Reads a WAL file from front to back: first the records, then how it ends.
///
/// Records of unknown kinds that may be ignored are stepped over; markers and the seal are yielded.
#[derive(Clone, Debug)]
pub struct WalScanner<'a> {
    bytes: &'a [u8],
    header: FileHeader,
    at: u64,
    records: u64,
    seq_last: u64,
    in_run: bool,
    outcome: Option<ScanOutcome>,
}

impl<'a> WalScanner<'a> {
    /// Starts on the bytes of a whole file.
    ///
    /// # Errors
    /// A damaged header, another identity, or a length other than the one in the header. See
    /// [`is_void`] for a file whose making was cut off.
    pub fn new(bytes: &'a [u8], expect: &WalIdentity) -> Result<Self, DecodeError> {
        let header = FileHeader::decode(bytes)?;
        let checks = [
            ("file number", 32, header.identity.number == expect.number),
            (
                "collection",
                48,
                header.identity.collection == expect.collection,
            ),
            ("shard", 64, header.identity.shard == expect.shard),
        ];
        for (field, at, same) in checks {
            if !same {
                return Err(DecodeError::new(at, field, Why::Identity));
            }
        }
        let (need, have) = (header.file_len, bytes.len() as u64);
        if have < need {
            return Err(DecodeError::new(
                have,
                "file length",
                Why::Truncated { need, have },
            ));
        }
        if have > need {
            let why = Why::Trailing { bytes: have - need };
            return Err(DecodeError::new(need, "file length", why));
        }
        let at = FILE_HEADER_LEN as u64;
        Ok(Self {
            bytes,
            header,
            at,
            records: 0,
            seq_last: 0,
            in_run: false,
            outcome: None,
        })
    }

    /// The file header.
    #[must_use]
    pub const fn header(&self) -> &FileHeader {
        &self.header
    }

    /// Where the last valid record ends.
    #[must_use]
    pub const fn end_of_records(&self) -> u64 {
        self.at
    }

    /// How the file ends; `None` before the last record was yielded.
    #[must_use]
    pub const fn outcome(&self) -> Option<ScanOutcome> {
        self.outcome
    }

    /// Steps over what is left and says how the file ends.
    #[must_use]
    pub fn finish(mut self) -> ScanOutcome {
        loop {
            if let Some(outcome) = self.outcome {
                return outcome;
            }
            self.next();
        }
    }

    fn rest(&self) -> &'a [u8] {
        usize::try_from(self.at)
            .ok()
            .and_then(|at| self.bytes.get(at..))
            .unwrap_or_default()
    }

    fn step(&mut self) -> Result<Record<'a>, ScanOutcome> {
        loop {
            let record = match Record::read(self.rest(), self.header.file_id, self.at) {
                Ok(Some(record)) => record,
                Ok(None) if all_zero(self.rest()) => {
                    return Err(ScanOutcome::CleanEnd { sealed: false });
                }
                Ok(None) => return Err(self.classify("record header")),
                Err(error) => return Err(self.classify(error.field)),
            };
            self.accept(&record)?;
            if record.header.kind <= KIND_SEAL {
                return Ok(record);
            }
        }
    }

    /// Checks what a valid record must be to stand after those before it, and moves past it.
    fn accept(&mut self, record: &Record<'a>) -> Result<(), ScanOutcome> {
        let at = record.offset;
        let header = &record.header;
        let misplaced = |field| ScanOutcome::Corrupt {
            at,
            field,
            proof_at: at,
        };
        match header.kind {
            KIND_OPS => {
                if header.seq_first <= self.seq_last {
                    return Err(misplaced("first seqno"));
                }
                if self.in_run && header.flags & FLAG_RUN == 0 {
                    return Err(misplaced("flags"));
                }
                self.in_run = header.run_goes_on();
                self.seq_last = header.seq_last;
            }
            KIND_SYNC_MARKER | KIND_SEAL => {
                if header.seq_last < self.seq_last {
                    return Err(misplaced("last seqno"));
                }
                let expected = Seal {
                    records: self.records,
                    seq_last: header.seq_last,
                };
                if header.kind == KIND_SEAL && Seal::decode(record.body) != Ok(expected) {
                    return Err(misplaced("seal"));
                }
                self.seq_last = header.seq_last;
            }
            _ if header.flags & FLAG_IGNORABLE == 0 => {
                return Err(ScanOutcome::Unsupported {
                    at,
                    kind: header.kind,
                });
            }
            _ => {}
        }
        self.records += 1;
        self.at = record.end();
        if header.kind == KIND_SEAL {
            self.outcome = Some(self.after_seal(at));
        }
        Ok(())
    }

    fn after_seal(&self, seal_at: u64) -> ScanOutcome {
        if all_zero(self.rest()) {
            return ScanOutcome::CleanEnd { sealed: true };
        }
        ScanOutcome::Corrupt {
            at: self.at,
            field: "zeros after the seal",
            proof_at: seal_at,
        }
    }

    /// Torn or corrupt: a later header that verifies and says that `self.at` was synced decides.
    fn classify(&self, field: &'static str) -> ScanOutcome {
        let at = self.at;
        let mut offset = at + RECORD_ALIGN as u64;
        let mut rest = self.rest();
        while let Some((_, next)) = rest.split_first_chunk::<RECORD_ALIGN>() {
            rest = next;
            let Some(head) = rest.first_chunk::<RECORD_HEADER_LEN>() else {
                break;
            };
            if may_be_header(head)
                && let Ok(header) = RecordHeader::decode(head, self.header.file_id, offset)
                && header.synced_upto > at
            {
                return ScanOutcome::Corrupt {
                    at,
                    field,
                    proof_at: offset,
                };
            }
            offset += RECORD_ALIGN as u64;
        }
        ScanOutcome::TornTail { at }
    }
}

/// A cheap look at kind and reserved bytes, so that most offsets cost no checksum.
fn may_be_header(head: &[u8; RECORD_HEADER_LEN]) -> bool {
    matches!(head.as_slice(), [.., kind, _, 0, 0, 0, 0, 0, 0] if *kind != 0)
}

impl<'a> Iterator for WalScanner<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.outcome.is_some() {
            return None;
        }
        match self.step() {
            Ok(record) => Some(record),
            Err(outcome) => {
                self.outcome = Some(outcome);
                None
            }
        }
    }
}
