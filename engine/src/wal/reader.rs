//! Replay: the records of the log, oldest first, and how it ends.
//!
//! One file is in memory at a time. A torn tail ends the log silently, for nothing in it was
//! acknowledged; bytes that do not verify although a later record, or the next file, proves that
//! they were synced are damage, and the log is not opened.
//!
//! A run counts only when its last record is there. Only the last run of the log can be
//! incomplete: the log is then cut in front of it, and the next file says so.

use std::collections::VecDeque;

use format_spec::wal::{
    FLAG_COMMIT, FLAG_RUN, KIND_OPS, Record, RecordHeader, ScanOutcome,
    WalIdentity as FileIdentity, WalScanner,
};
use format_spec::{Epoch, SeqNo};

use super::chain::{self, Found, Link, Opened, Survey};
use super::space::OPENING_LEN;
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
    /// A file number that was never used.
    pub next_file_no: u64,
    /// Whether the last write was cut off.
    pub torn: Option<Torn>,
    /// Records delivered.
    pub records: u64,
    /// Whether everything delivered is proven to have been durable, as after a close.
    pub clean: bool,
    pub(super) tail: Tail,
    pub(super) link: Link,
    /// A spare that could be taken over: number and length.
    pub(super) adopt: Option<(u64, u64)>,
    /// Files with records, oldest first, and files that go with them.
    pub(super) files: VecDeque<LogFile>,
    /// Files that nothing names any more once the next one has been begun.
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
    let newest = survey.last_key_value().map_or(0, |(&number, _)| number);
    let chain = chain::chain(&mut survey, dir, after)?;
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
    if end.sealed && !has_successor(&survey, &chain) {
        let message = "sealed, but the file after it is missing or cut";
        return Err(Error::damaged(
            file_path(dir, chain[chain.len() - 1].number),
            message,
        ));
    }
    let (last, records) = (replay.last.max(after), replay.records);
    let kept = replay.kept(&end, last);
    let mut spares = Spares::sort(&survey, &chain);
    let (files, link) = spares.link(&chain, kept, last);
    Ok(ReplayEnd {
        last,
        next_file_no: newest + 1,
        torn: end.torn,
        records,
        clean: end.torn.is_none() && end.tail.bytes.is_empty(),
        tail: end.tail,
        link,
        adopt: spares.adopt,
        files,
        leftovers: spares.leftovers,
    })
}

/// Whether the file that a sealed one was left for is there. It was, with its full length, before
/// the seal was written.
fn has_successor(survey: &Survey, chain: &[Opened]) -> bool {
    let after = chain[chain.len() - 1].number + 1;
    survey
        .range(after..)
        .any(|(_, found)| found.len() >= OPENING_LEN)
}

/// How the newest file ends.
#[derive(Debug, Default)]
struct End {
    sealed: bool,
    has_ops: bool,
    torn: Option<Torn>,
    tail: Tail,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Run {
    None,
    /// Complete, and being delivered.
    Complete,
    /// The log ends within it; it begins in this file of the chain.
    Void(usize),
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

    /// How many files of the chain the next one builds on. Behind the file in which a void run
    /// begins there is nothing else. A newest file without operations is left out too, so that
    /// restarts do not pile up empty files.
    fn kept(&self, end: &End, last: SeqNo) -> usize {
        match self.run {
            Run::Void(at) => at + 1,
            Run::None | Run::Complete => {
                let newest = self.chain.len() - 1;
                let empty = !end.has_ops && self.chain[newest].link.base == last;
                self.chain.len() - usize::from(empty)
            }
        }
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
        let mut end = End::default();
        let mut proven = 0;
        let mut ops_end = 0;
        while let Some(record) = scanner.next() {
            if record.header.kind != KIND_OPS {
                proven = proven.max(record.header.synced_upto);
                self.check_bare(at, &record, limit)?;
                continue;
            }
            if limit.is_some_and(|limit| record.header.seq_first > limit.0) {
                return self.check_reached(at, &bytes, &scanner).map(|()| end);
            }
            proven = proven.max(record.header.synced_upto);
            ops_end = record.end();
            end.has_ops = true;
            self.operations(at, &record, &scanner)?;
        }
        if limit.is_some() {
            return self.check_reached(at, &bytes, &scanner).map(|()| end);
        }
        self.check_outcome(at, &bytes, &scanner)?;
        let records_end = scanner.end_of_records();
        match scanner.outcome() {
            Some(ScanOutcome::CleanEnd { sealed }) => end.sealed = sealed,
            _ => {
                end.torn = Some(Torn {
                    file: self.chain[at].number,
                    at: records_end,
                });
            }
        }
        if ops_end > proven {
            let range = to_usize(proven)..to_usize(records_end);
            end.tail = Tail {
                path: self.path(at),
                offset: proven,
                bytes: bytes.get(range).unwrap_or_default().to_vec(),
            };
        }
        Ok(end)
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
        if matches!(self.run, Run::Void(_)) {
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
            (Run::None, true) if !self.completes(at, header, scanner)? => {
                self.run = Run::Void(at);
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

    /// Looks ahead whether the run that begins with `first`, in front of `scanner`, has an end.
    fn completes(&self, at: usize, first: &RecordHeader, scanner: &WalScanner<'_>) -> Result<bool> {
        let in_file = |scanner: WalScanner<'_>, limit: Option<SeqNo>| {
            scanner
                .map(|record| record.header)
                .filter(|header| header.kind == KIND_OPS)
                .take_while(|header| limit.is_none_or(|limit| header.seq_last <= limit.0))
                .any(|header| !header.run_goes_on())
        };
        if !first.run_goes_on() || in_file(scanner.clone(), self.limit(at)) {
            return Ok(true);
        }
        for next in at + 1..self.chain.len() {
            let bytes = chain::read_whole(self.storage, &self.path(next))?;
            if in_file(self.scanner(next, &bytes)?, self.limit(next)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A file that another one follows must hold everything up to that one's base.
    fn check_reached(&self, at: usize, bytes: &[u8], scanner: &WalScanner<'_>) -> Result<()> {
        let void = matches!(self.run, Run::Void(_));
        let Some(limit) = self.limit(at).filter(|&limit| self.last != limit && !void) else {
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
                    self.last.0 + 1
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
        before.unwrap_or_default().max(limit).max(self.last.0 + 1)
    }
}

fn to_usize(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// What is to become of the files that the chain does not need.
struct Spares {
    adopt: Option<(u64, u64)>,
    leftovers: Vec<u64>,
    /// Not in the chain, to be retired with it: number, newest SeqNo, length.
    older: Vec<LogFile>,
}

impl Spares {
    fn sort(survey: &Survey, chain: &[Opened]) -> Self {
        let newest = chain[chain.len() - 1].number;
        let flushed = chain[0].link.base;
        let mut spares = Self {
            adopt: None,
            leftovers: Vec::new(),
            older: Vec::new(),
        };
        // A file with a header may not be newer than the one taken over, or it would pass for the
        // newest one at the next start.
        let tried = survey
            .iter()
            .rev()
            .find(|(_, found)| !matches!(found, Found::Void { .. }));
        let adopt_from = tried.map_or(newest, |(&number, _)| number.max(newest));
        for (&number, found) in survey {
            let len = found.len();
            match found {
                Found::Void { .. } if number > adopt_from && spares.adopt.is_none() => {
                    spares.adopt = Some((number, len));
                }
                Found::Void { .. } | Found::NeverOpened { .. } => spares.leftovers.push(number),
                Found::Opened(_) if number > chain[0].number => spares.leftovers.push(number),
                // Older than what is needed, or damaged: goes when the files around it go.
                Found::Opened(_) | Found::Damaged { .. } => {
                    let next = chain.iter().find(|file| file.number > number);
                    let last = next.map_or(flushed, |next| next.link.base);
                    spares.older.push(LogFile { number, last, len });
                }
            }
        }
        spares
    }

    /// The files in order, and the link of the next one, which builds on the first `kept` of the
    /// chain; the others are left over.
    fn link(&mut self, chain: &[Opened], kept: usize, last: SeqNo) -> (VecDeque<LogFile>, Link) {
        let (chain, dropped) = chain.split_at(kept);
        self.leftovers
            .extend(dropped.iter().map(|file| file.number));
        let bases = chain
            .iter()
            .skip(1)
            .map(|next| next.link.base)
            .chain([last]);
        let listed = |(file, last): (&Opened, SeqNo)| LogFile {
            number: file.number,
            last,
            len: file.len,
        };
        let mut files: Vec<LogFile> = chain.iter().zip(bases).map(listed).collect();
        files.append(&mut self.older);
        files.sort_by_key(|file| file.number);
        let link = match (chain.last(), dropped.first()) {
            (Some(newest), _) => Link {
                previous_number: newest.number,
                previous_file_id: newest.file_id,
                base: last,
            },
            (None, Some(first)) => Link {
                base: last,
                ..first.link
            },
            (None, None) => Link::first(last),
        };
        (files.into(), link)
    }
}
