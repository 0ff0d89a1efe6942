//! Replay: the records of the log, oldest first, and how it ends.
//!
//! One file is in memory at a time. A torn tail ends the log silently, for nothing in it was
//! acknowledged; bytes that do not verify although a later record, or the next file, proves that
//! they were synced are damage, and the log is not opened.
//!
//! A run is in one file and counts only when its last record is there. Only the last run of the
//! log can be incomplete: the log then ends in front of it, and the next file says so.

use std::collections::VecDeque;

use format_spec::wal::{
    FILE_HEADER_LEN, FLAG_COMMIT, FLAG_RUN, KIND_OPS, Record, RecordHeader, ScanOutcome,
    WalIdentity as FileIdentity, WalScanner,
};
use format_spec::{Epoch, SeqNo};

use super::chain::{self, Found, Link, Opened, Survey};
use super::space::{Begin, OPENING_LEN};
use super::{LogFile, WalIdentity, file_path};
use crate::error::{Error, Result};
use crate::storage::Storage;

/// A record as it was appended.
#[derive(Copy, Clone, Debug)]
pub struct ReplayRecord<'a> {
    /// SeqNo of the first operation.
    pub seq_first: SeqNo,
    /// SeqNo of the last operation. The record is delivered whole even if the manifest has
    /// flushed some of it.
    pub seq_last: SeqNo,
    /// Epoch of the primary that ordered it.
    pub epoch: Epoch,
    /// Version of the schema the operations were resolved under.
    pub schema_version: u64,
    /// Whether it is part of a run; the run is complete.
    pub in_run: bool,
    /// Whether it is the last of its run.
    pub commits: bool,
    /// The operations.
    pub body: &'a [u8],
    /// Number of its file.
    pub file: u64,
    /// Where it starts in the file.
    pub offset: u64,
}

/// Where power loss cut the last write off.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Torn {
    /// Number of the file.
    pub file: u64,
    /// End of the last good record in it.
    pub at: u64,
}

/// How the log ends, and what [`Wal::open`](super::Wal::open) needs to go on.
#[derive(Debug)]
pub struct ReplayEnd {
    /// The last SeqNo of the log, or what the manifest has flushed if that is later.
    pub last: SeqNo,
    /// The number of the file that comes next.
    pub next_file_no: u64,
    /// Whether the last write was cut off.
    pub torn: Option<Torn>,
    /// Records delivered.
    pub records: u64,
    /// Whether everything delivered is proven to have been durable, as after a close.
    pub clean: bool,
    pub(super) tail: Tail,
    pub(super) link: Link,
    pub(super) begin: Begin,
    /// Files with records, oldest first.
    pub(super) files: VecDeque<LogFile>,
    /// Spares behind the next file.
    pub(super) leftovers: Vec<u64>,
}

/// Bytes of the last file that were read and accepted, and that nothing proves to be durable: they
/// may have come from the page cache of a machine whose disk never got them.
#[derive(Debug, Default)]
pub(super) struct Tail {
    path: String,
    offset: u64,
    bytes: Vec<u8>,
}

impl Tail {
    /// Writes the bytes again, in their place, and syncs.
    pub(super) fn secure(&self, storage: &dyn Storage) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        // DURABILITY: after a failed sync the kernel takes the pages for clean and would not write
        // them when asked to sync again. Writing the same bytes makes them dirty.
        let file = storage.open(&self.path)?;
        file.write_at(self.offset, &self.bytes)?;
        file.sync_data()
    }
}

/// Reads the records after `after`, which the manifest has flushed, into `sink`.
///
/// The files say themselves from which one on they are needed. There must be at least one: a log is
/// made before the manifest of its shard.
///
/// # Errors
/// - [`Corrupt`](crate::ErrorKind::Corrupt): a file is damaged in front of a point that was
///   synced, or is missing. Names the file, the offset and the SeqNos.
/// - [`Unsupported`](crate::ErrorKind::Unsupported): a newer version wrote it.
/// - What `sink` returns.
pub fn replay(
    storage: &dyn Storage,
    dir: &str,
    identity: &WalIdentity,
    after: SeqNo,
    sink: &mut dyn FnMut(ReplayRecord<'_>) -> Result<()>,
) -> Result<ReplayEnd> {
    let mut survey = chain::survey(storage, dir, *identity)?;
    let chain = chain::chain(&mut survey, dir, after)?;
    let newest = chain[chain.len() - 1];
    let mut replay = Replay {
        storage,
        dir,
        identity: *identity,
        after,
        chain: &chain,
        last: chain[0].link.base,
        run: Run::None,
        records: 0,
        sink,
    };
    let end = replay.files()?;
    if end.sealed && !has_successor(&survey, newest) {
        let message = "sealed, but the file after it is missing or cut";
        return Err(Error::damaged(file_path(dir, newest.number), message));
    }
    let (last, records) = (replay.last.max(after), replay.records);
    let next = next_file(&survey, &chain, &end);
    let mut files = log_files(&survey, &chain, last);
    let mut link = Link {
        previous_number: newest.number,
        previous_file_id: newest.file_id,
        base: last,
    };
    if next.number() == newest.number {
        files.pop_back();
        link = Link {
            base: last,
            ..newest.link
        };
    }
    Ok(ReplayEnd {
        last,
        next_file_no: next.number(),
        torn: end.torn,
        records,
        clean: end.torn.is_none() && end.tail.bytes.is_empty(),
        tail: end.tail,
        link,
        begin: next,
        files,
        leftovers: survey
            .range(next.number() + 1..)
            .map(|(&number, _)| number)
            .collect(),
    })
}

/// The file to go on in. A newest file that is empty begins anew if the one before it is there to
/// hold its place meanwhile, so that restarts do not pile up empty files.
fn next_file(survey: &Survey, chain: &[Opened], end: &End) -> Begin {
    let newest = chain[chain.len() - 1];
    let before = newest.link.previous_number;
    let held = chain.len() > 1 || matches!(survey.get(&before), Some(Found::Opened(_)));
    if end.empty && held {
        return Begin::Again(newest.number);
    }
    let number = newest.number + 1;
    match survey.get(&number) {
        Some(Found::Void { .. }) => Begin::Void(number),
        Some(_) => Begin::Again(number),
        None => Begin::New(number),
    }
}

/// The files with records, oldest first, and those before them that were not needed.
fn log_files(survey: &Survey, chain: &[Opened], last: SeqNo) -> VecDeque<LogFile> {
    let first = chain[0];
    let older = survey
        .range(..first.number)
        .map(|(&number, found)| LogFile {
            number,
            last: first.link.base,
            len: found.len(),
        });
    let bases = chain.iter().skip(1).map(|next| next.link.base);
    let needed = chain
        .iter()
        .zip(bases.chain([last]))
        .map(|(file, last)| LogFile {
            number: file.number,
            last,
            len: file.len,
        });
    older.chain(needed).collect()
}

/// Whether the file that a sealed one was left for is there. It was, with its full length, before
/// the seal was written.
fn has_successor(survey: &Survey, newest: Opened) -> bool {
    let next = survey.get(&(newest.number + 1));
    next.is_some_and(|found| found.len() >= OPENING_LEN)
}

/// How the newest file ends.
#[derive(Debug, Default)]
struct End {
    sealed: bool,
    /// Nothing but the opening marker, and zeros behind it.
    empty: bool,
    torn: Option<Torn>,
    tail: Tail,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Run {
    None,
    /// Complete, and being delivered.
    Complete,
    /// The log ends within it.
    Void,
}

struct Replay<'a> {
    storage: &'a dyn Storage,
    dir: &'a str,
    identity: WalIdentity,
    after: SeqNo,
    chain: &'a [Opened],
    /// The last SeqNo that counts.
    last: SeqNo,
    run: Run,
    records: u64,
    sink: &'a mut dyn FnMut(ReplayRecord<'_>) -> Result<()>,
}

impl Replay<'_> {
    fn files(&mut self) -> Result<End> {
        let mut end = End::default();
        for at in 0..self.chain.len() {
            end = self.file(at)?;
        }
        Ok(end)
    }

    fn path(&self, at: usize) -> String {
        file_path(self.dir, self.chain[at].number)
    }

    /// Up to which SeqNo a file counts: the base of the next one.
    fn limit(&self, at: usize) -> Option<SeqNo> {
        self.chain.get(at + 1).map(|next| next.link.base)
    }

    fn scanner<'b>(&self, at: usize, bytes: &'b [u8]) -> Result<WalScanner<'b>> {
        let identity = FileIdentity {
            number: self.chain[at].number,
            collection: self.identity.collection,
            shard: self.identity.shard,
        };
        WalScanner::new(bytes, &identity).map_err(|e| chain::decode_error(&self.path(at), e))
    }

    fn file(&mut self, at: usize) -> Result<End> {
        let bytes = chain::read_whole(self.storage, &self.path(at))?;
        let mut scanner = self.scanner(at, &bytes)?;
        let limit = self.limit(at);
        let (mut proven, mut ops_end) = (FILE_HEADER_LEN as u64, 0);
        while let Some(record) = scanner.next() {
            proven = proven.max(record.header.synced_upto);
            if record.header.kind != KIND_OPS {
                self.check_bare(at, &record, limit)?;
            } else if limit.is_some_and(|limit| record.header.seq_first > limit.0) {
                break;
            } else {
                ops_end = record.end();
                self.operations(at, &record, &scanner)?;
            }
        }
        if limit.is_some() {
            return self
                .check_reached(at, &bytes, &scanner)
                .map(|()| End::default());
        }
        self.check_outcome(at, &bytes, &scanner)?;
        let records_end = scanner.end_of_records();
        let number = self.chain[at].number;
        let cut = matches!(scanner.outcome(), Some(ScanOutcome::TornTail { .. }));
        let sealed = scanner.outcome() == Some(ScanOutcome::CleanEnd { sealed: true });
        let unproven = if ops_end > proven {
            proven..records_end
        } else {
            0..0
        };
        let range = to_usize(unproven.start)..to_usize(unproven.end);
        Ok(End {
            sealed,
            empty: ops_end == 0 && !cut && !sealed,
            torn: cut.then_some(Torn {
                file: number,
                at: records_end,
            }),
            tail: Tail {
                path: self.path(at),
                offset: unproven.start,
                bytes: bytes.get(range).unwrap_or_default().to_vec(),
            },
        })
    }

    /// A marker or a seal says up to where the log went when it was written.
    fn check_bare(&self, at: usize, record: &Record<'_>, limit: Option<SeqNo>) -> Result<()> {
        let says = SeqNo(record.header.seq_last);
        let cut = self.run != Run::None || limit.is_some_and(|limit| says > limit);
        if says <= self.last || cut {
            return Ok(());
        }
        Err(self.gap(at, record, says))
    }

    fn gap(&self, at: usize, record: &Record<'_>, found: SeqNo) -> Error {
        let message = format!(
            "at byte {} the log goes on at seqno {}, but ended at {}",
            record.offset, found.0, self.last.0
        );
        Error::damaged(self.path(at), message)
    }

    fn operations(
        &mut self,
        at: usize,
        record: &Record<'_>,
        scanner: &WalScanner<'_>,
    ) -> Result<()> {
        let header = &record.header;
        if self.run == Run::Void {
            return Ok(());
        }
        let limit = self.limit(at);
        let crosses = limit.is_some_and(|limit| header.seq_last > limit.0);
        if self.last.0.checked_add(1) != Some(header.seq_first) || crosses {
            return Err(self.gap(at, record, SeqNo(header.seq_first)));
        }
        let in_run = header.flags & FLAG_RUN != 0;
        match (self.run, in_run) {
            (Run::Complete, false) => {
                let message = format!("at byte {} a run breaks off", record.offset);
                return Err(Error::damaged(self.path(at), message));
            }
            (Run::None, true) if !completes(header, scanner, limit) => {
                self.run = Run::Void;
                return Ok(());
            }
            _ => {}
        }
        self.run = if header.run_goes_on() {
            Run::Complete
        } else {
            Run::None
        };
        self.last = SeqNo(header.seq_last);
        if self.last <= self.after {
            return Ok(());
        }
        self.records += 1;
        (self.sink)(ReplayRecord {
            seq_first: SeqNo(header.seq_first),
            seq_last: SeqNo(header.seq_last),
            epoch: Epoch(header.epoch),
            schema_version: header.schema_version,
            in_run,
            commits: !in_run || header.flags & FLAG_COMMIT != 0,
            body: record.body,
            file: self.chain[at].number,
            offset: record.offset,
        })
    }

    /// A file that another one follows must hold everything up to that one's base.
    fn check_reached(&self, at: usize, bytes: &[u8], scanner: &WalScanner<'_>) -> Result<()> {
        let Some(limit) = self.limit(at).filter(|&limit| self.last != limit) else {
            return Ok(());
        };
        self.check_outcome(at, bytes, scanner)?;
        let message = format!(
            "records end at byte {} with seqno {}, but {} proves that those up to {} were synced",
            scanner.end_of_records(),
            self.last.0,
            self.path(at + 1),
            limit.0
        );
        Err(Error::damaged(self.path(at), message))
    }

    /// Damage in front of a synced point, and records that are not for this version.
    fn check_outcome(&self, at: usize, bytes: &[u8], scanner: &WalScanner<'_>) -> Result<()> {
        match scanner.outcome() {
            Some(ScanOutcome::Corrupt {
                at: offset,
                field,
                proof_at,
            }) => {
                let upto = self.proven_upto(at, bytes, scanner, proof_at);
                let message = format!(
                    "{field} of the record at byte {offset} does not verify, but the record at \
                     byte {proof_at} proves that it was synced: seqnos {} to {upto} are damaged",
                    self.last.0.saturating_add(1)
                );
                Err(Error::damaged(self.path(at), message))
            }
            Some(ScanOutcome::Unsupported { at: offset, kind }) => {
                let message = format!("record of unknown kind {kind} at byte {offset}");
                Err(Error::unsupported("decode", message).with_path(self.path(at)))
            }
            Some(ScanOutcome::CleanEnd { .. } | ScanOutcome::TornTail { .. }) | None => Ok(()),
        }
    }

    /// The last SeqNo before the record that proves damage; at least one is damaged.
    fn proven_upto(&self, at: usize, bytes: &[u8], scanner: &WalScanner<'_>, proof_at: u64) -> u64 {
        let rest = bytes
            .get(to_usize(proof_at)..)
            .and_then(|rest| rest.first_chunk());
        let proof = rest
            .and_then(|head| RecordHeader::decode(head, scanner.header().file_id, proof_at).ok());
        let before = proof.map(|header| {
            if header.kind == KIND_OPS {
                header.seq_first - 1
            } else {
                header.seq_last
            }
        });
        let limit = self.limit(at).map_or(0, |limit| limit.0);
        before
            .unwrap_or_default()
            .max(limit)
            .max(self.last.0.saturating_add(1))
    }
}

fn to_usize(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Looks ahead in the file whether the run that begins with `first`, in front of `scanner`, has its
/// last record.
fn completes(first: &RecordHeader, scanner: &WalScanner<'_>, limit: Option<SeqNo>) -> bool {
    !first.run_goes_on()
        || scanner
            .clone()
            .map(|record| record.header)
            .filter(|header| header.kind == KIND_OPS)
            .take_while(|header| limit.is_none_or(|limit| header.seq_last <= limit.0))
            .any(|header| !header.run_goes_on())
}
