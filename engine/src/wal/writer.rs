//! Bytes to the active file: encode, write, sync, seal, begin the next.
//!
//! Whoever leads a group has the writer to itself. It follows the plan that the appends made, so
//! it never runs out of room; what it cannot do poisons the log, and it is not used again.
//!
//! # Invariants
//! - `proven <= synced <= end of the written bytes <= at`.
//! - Every record says in `synced_upto` what was synced when it was encoded: `synced`.

use std::sync::Arc;

use format_spec::wal::{
    FILE_HEADER_LEN, FileHeader, KIND_OPS, KIND_SEAL, KIND_SYNC_MARKER, RecordHeader, Seal,
    WalIdentity as FileIdentity, append_record,
};
use format_spec::{DecodeError, SeqNo};

use super::chain::Link;
use super::space::{CLOSING_LEN, SEAL_LEN, Spare};
use super::{Counters, Files, Item, LogFile, Place};
use crate::error::{Error, Result};
use crate::storage::File;
use crate::sync::Mutex;

/// Encoded bytes are written when there are this many: large enough that a write call costs
/// nothing beside them, small enough to stay in the cache between encoding and writing.
const CHUNK_BYTES: usize = 1 << 20;
/// A buffer that one huge record has grown beyond this is given back.
const BUFFER_KEPT_BYTES: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Writer {
    place: Place,
    files: Arc<Mutex<Files>>,
    counters: Arc<Counters>,
    active: Active,
    /// Encoded and not yet written; ends at `active.at`.
    buffer: Vec<u8>,
    /// Last SeqNo encoded.
    last: SeqNo,
    /// Something failed: what is on the disk is unknown, and nothing more is written.
    broken: bool,
}

/// The file being filled.
#[derive(Debug)]
struct Active {
    number: u64,
    file_id: u64,
    len: u64,
    file: Arc<dyn File>,
    /// Where the next record goes.
    at: u64,
    /// Everything before this is durable.
    synced: u64,
    /// What the newest written record says is durable.
    proven: u64,
    /// Where the newest record of operations ends.
    ops_end: u64,
    /// Records so far, of any kind.
    records: u64,
}

impl Writer {
    /// Begins the first file of this process.
    pub(super) fn begin(
        place: &Place,
        spare: Spare,
        link: Link,
        files: &Arc<Mutex<Files>>,
        counters: &Arc<Counters>,
    ) -> Result<Self> {
        let active = Active::new(place, spare);
        let mut writer = Self {
            place: place.clone(),
            files: Arc::clone(files),
            counters: Arc::clone(counters),
            active,
            buffer: Vec::new(),
            last: link.base,
            broken: false,
        };
        writer.open_active(link)?;
        Ok(writer)
    }

    /// Room for records in the active file, by the count of the plan.
    pub(super) fn left(&self) -> u64 {
        let closing = if self.needs_marker() {
            CLOSING_LEN
        } else {
            SEAL_LEN
        };
        self.active.len.saturating_sub(self.active.at + closing)
    }

    /// Whether there are operations that no record proves to be synced.
    fn needs_marker(&self) -> bool {
        self.active.ops_end > self.active.proven
    }

    /// Makes a group durable; returns the last SeqNo.
    pub(super) fn commit(&mut self, items: Vec<Item>) -> Result<SeqNo> {
        self.check_whole()?;
        let outcome = self.commit_items(items);
        self.broken |= outcome.is_err();
        outcome
    }

    /// Writes and syncs a marker, if there are operations that no record proves to be synced.
    pub(super) fn mark(&mut self) -> Result<bool> {
        self.check_whole()?;
        let outcome = self.mark_if_needed();
        self.broken |= outcome.is_err();
        outcome
    }

    fn check_whole(&self) -> Result<()> {
        if self.broken {
            let message = "an earlier write or sync failed";
            return Err(Error::poisoned("write", message).with_path(self.active.file.path()));
        }
        Ok(())
    }

    fn commit_items(&mut self, items: Vec<Item>) -> Result<SeqNo> {
        for item in items {
            match item {
                Item::Record(entry) => {
                    self.encode(entry.header, &entry.body)?;
                    self.last = SeqNo(entry.header.seq_last);
                    Counters::add(&self.counters.records, 1);
                }
                Item::Roll(spare) => self.roll(spare)?,
            }
            if self.buffer.len() >= CHUNK_BYTES {
                self.write_out()?;
            }
        }
        self.write_out()?;
        self.sync()?;
        Ok(self.last)
    }

    fn mark_if_needed(&mut self) -> Result<bool> {
        if !self.needs_marker() {
            return Ok(false);
        }
        assert_eq!(
            self.active.at, self.active.synced,
            "a marker comes between groups"
        );
        self.encode_marker()?;
        self.write_out()?;
        self.sync()?;
        Ok(true)
    }

    /// Seals the active file and begins the next one in `spare`.
    fn roll(&mut self, spare: Spare) -> Result<()> {
        let seal = Seal {
            records: self.active.records,
            seq_last: self.last.0,
        };
        let header = self.bare_header(KIND_SEAL);
        self.encode(header, &seal.encode())?;
        self.write_out()?;
        // DURABILITY: the header of the next file says that this one is complete.
        self.sync()?;
        let sealed = LogFile {
            number: self.active.number,
            last: self.last,
            len: self.active.len,
        };
        let link = Link {
            previous_number: self.active.number,
            previous_file_id: self.active.file_id,
            base: self.last,
        };
        self.active = Active::new(&self.place, spare);
        self.open_active(link)?;
        let mut files = self.files.lock();
        files.closed.push_back(sealed);
        files.active_number = self.active.number;
        files.active_len = self.active.len;
        Ok(())
    }

    /// Writes the header, and then the marker that tells from which SeqNo on the file counts.
    fn open_active(&mut self, link: Link) -> Result<()> {
        let identity = self.place.identity;
        let header = FileHeader {
            identity: FileIdentity {
                number: self.active.number,
                collection: identity.collection,
                shard: identity.shard,
            },
            file_id: self.active.file_id,
            previous_number: link.previous_number,
            previous_file_id: link.previous_file_id,
            file_len: self.active.len,
        };
        let bytes = header.encode();
        self.active.file.write_at(0, &bytes)?;
        Counters::add(&self.counters.bytes, bytes.len() as u64);
        Counters::add(&self.counters.files, 1);
        // DURABILITY: before the first record, so that a header that does not verify in front of
        // zeros means that nothing was ever logged in the file.
        self.sync()?;
        // DURABILITY: before the first operation, so that a file without a valid marker has none
        // either, and so that the operations can prove the marker.
        self.encode_marker()?;
        self.write_out()?;
        self.sync()
    }

    fn encode_marker(&mut self) -> Result<()> {
        let header = self.bare_header(KIND_SYNC_MARKER);
        self.encode(header, &[])
    }

    /// The header of a record without operations.
    fn bare_header(&self, kind: u8) -> RecordHeader {
        RecordHeader {
            seq_first: self.last.0,
            seq_last: self.last.0,
            kind,
            ..RecordHeader::default()
        }
    }

    fn encode(&mut self, header: RecordHeader, body: &[u8]) -> Result<()> {
        let active = &mut self.active;
        let header = RecordHeader {
            synced_upto: active.synced,
            ..header
        };
        let before = self.buffer.len();
        append_record(&mut self.buffer, active.file_id, active.at, &header, body)
            .map_err(|error: DecodeError| Error::corrupt(active.file.path(), error))?;
        active.at += (self.buffer.len() - before) as u64;
        active.records += 1;
        active.proven = active.synced;
        if header.kind == KIND_OPS {
            active.ops_end = active.at;
        }
        assert!(
            active.at <= active.len,
            "the plan gave a record a place that is not there"
        );
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let at = self.active.at - self.buffer.len() as u64;
        self.active.file.write_at(at, &self.buffer)?;
        Counters::add(&self.counters.bytes, self.buffer.len() as u64);
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_BYTES);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        debug_assert!(
            self.buffer.is_empty(),
            "bytes would be counted as synced unwritten"
        );
        self.active.file.sync_data()?;
        Counters::add(&self.counters.syncs, 1);
        self.active.synced = self.active.at;
        Ok(())
    }
}

impl Active {
    fn new(place: &Place, spare: Spare) -> Self {
        let start = FILE_HEADER_LEN as u64;
        Self {
            number: spare.number,
            file_id: place.file_id(spare.number),
            len: spare.len,
            file: spare.file,
            at: start,
            synced: start,
            proven: start,
            ops_end: start,
            records: 0,
        }
    }
}

impl Place {
    /// Different for each file of each shard and each opening; never 0. The finaliser of
    /// splitmix64 spreads the bits.
    fn file_id(&self, number: u64) -> u64 {
        let collection = self.identity.collection.0;
        let parts = [
            (collection >> 64) as u64,
            collection as u64,
            u64::from(self.identity.shard.0),
            number,
        ];
        let mut id = self.settings.file_id_seed;
        for part in parts {
            id = id.wrapping_add(part).wrapping_add(0x9e37_79b9_7f4a_7c15);
            id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            id ^= id >> 31;
        }
        id.max(1)
    }
}
