//! The write-ahead log of one shard: numbered, preallocated files of records.
//!
//! ```text
//! append ─ queue, in the order of SeqNos          wait ─ group_commit: one leader at a time
//!                                                        writer: encode ─ write ─ sync ─ wake
//! 000007.wal  sealed ──▸ 000008.wal  active ──▸ 000009.wal  spare: allocated, no header yet
//! ```
//!
//! [`Wal::append`] gives a record its place in the order, and [`Wal::wait`] returns when it is
//! durable. Which file a record goes to is decided at the append, so that a full disk is noticed
//! there, before anything is logged; see `space`. [`replay`] reads the files back; see `chain` for
//! how they prove that none is missing.
//!
//! # Invariants
//! - The records of the log have contiguous SeqNos in the order of the appends.
//! - A file's name, length and header are durable before its first record is written, and all of a
//!   file before the header of the next.
//! - After the first failed write or sync nothing is acknowledged any more, for the life of this
//!   object; recovery starts from what the disk has, and makes durable again what it accepts.
//! - A file that recovery has read is never appended to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use format_spec::{CollectionId, Epoch, SeqNo, ShardId};

use crate::error::{Error, ErrorKind, Result};
use crate::storage::Storage;
use crate::sync::Mutex;

mod chain;
pub mod group_commit;
mod queue;
pub mod reader;
mod space;
mod writer;

pub use group_commit::Ticket;
pub use reader::{ReplayEnd, ReplayRecord, Torn, replay};
pub use space::WriteClass;

use group_commit::{GroupCommit, Refused};
use queue::{Item, NotQueued, Queue};
use space::{Begin, Plan};
use writer::Writer;

/// Why the log is poisoned: the first failure and its causes in one line.
type Reason = Arc<str>;

/// Whose log it is; a file of another one is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct WalIdentity {
    /// Collection.
    pub collection: CollectionId,
    /// Shard.
    pub shard: ShardId,
}

/// How a log is kept.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct WalSettings {
    /// Length of a file; one that must hold a bigger record is longer.
    pub file_bytes: u64,
    /// Writes that grow the data are refused when less than this is free.
    pub soft_free_bytes: u64,
    /// How much more than that must be free before they are taken again.
    pub hysteresis_bytes: u64,
    /// Random, different each time a log is opened: file ids are drawn from it.
    pub file_id_seed: u64,
}

impl Default for WalSettings {
    /// 32 MiB files: one header, one seal and one directory sync in 32 MiB is noise, and replay
    /// holds one file in memory. 2 GiB of soft reserve is what a merge of small segments takes.
    fn default() -> Self {
        Self {
            file_bytes: 32 << 20,
            soft_free_bytes: 2 << 30,
            hysteresis_bytes: 1 << 30,
            file_id_seed: 1,
        }
    }
}

/// A record to log: some operations with contiguous SeqNos.
#[derive(Copy, Clone, Debug)]
pub struct WalRecord<'a> {
    /// SeqNo of the first operation: one more than the last one appended.
    pub seq_first: SeqNo,
    /// SeqNo of the last operation.
    pub seq_last: SeqNo,
    /// Epoch of the primary that ordered it.
    pub epoch: Epoch,
    /// Version of the schema the operations were resolved under.
    pub schema_version: u64,
    /// Whether it is part of a run of records that counts as a whole or not at all.
    pub in_run: bool,
    /// Whether it is the last of its run.
    pub commits: bool,
    /// The operations.
    pub body: &'a Arc<[u8]>,
}

/// Proof that everything up to a SeqNo is on the disk. Only [`Wal::wait`] makes one.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Durable(SeqNo);

impl Durable {
    /// Up to where.
    pub const fn seqno(self) -> SeqNo {
        self.0
    }
}

/// What the log has done since it was opened.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct WalCounters {
    /// Syncs of files.
    pub syncs: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Records of operations written.
    pub records: u64,
    /// Group commits.
    pub groups: u64,
    /// Files begun.
    pub files: u64,
}

#[derive(Debug, Default)]
struct Counters {
    syncs: AtomicU64,
    bytes: AtomicU64,
    records: AtomicU64,
    groups: AtomicU64,
    files: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// A file of the log that is no longer written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct LogFile {
    number: u64,
    /// No record in it is newer.
    last: SeqNo,
    len: u64,
}

#[derive(Debug)]
struct Files {
    /// Oldest first.
    closed: VecDeque<LogFile>,
    active_number: u64,
    active_len: u64,
}

/// The log of one shard.
#[derive(Debug)]
pub struct Wal {
    place: Place,
    group: GroupCommit<Queue, Reason>,
    /// Only the leader of a group, and the marker step between groups, hold it.
    writer: Mutex<Writer>,
    files: Arc<Mutex<Files>>,
    counters: Arc<Counters>,
    durable: AtomicU64,
    /// The number of the next file to be allocated; held while one is.
    next_number: Mutex<u64>,
    /// Growing writes are refused since free space fell under the threshold.
    too_full: AtomicBool,
}

/// Where the files are and how they are made.
#[derive(Clone, Debug)]
struct Place {
    storage: Arc<dyn Storage>,
    dir: Arc<str>,
    identity: WalIdentity,
    settings: WalSettings,
}

impl Place {
    fn path(&self, number: u64) -> String {
        file_path(&self.dir, number)
    }
}

fn file_path(dir: &str, number: u64) -> String {
    format!("{dir}/{}", format_spec::path::wal_name(number))
}

impl Wal {
    /// Starts the log of a new shard with file `first_file_no`; the first record will have the
    /// SeqNo after `base`. Durable when it returns: a manifest may then name the file.
    ///
    /// # Errors
    /// When there is no space for a file, or it cannot be made durable.
    pub fn create(
        storage: Arc<dyn Storage>,
        dir: impl Into<Arc<str>>,
        identity: WalIdentity,
        settings: WalSettings,
        first_file_no: u64,
        base: SeqNo,
    ) -> Result<Self> {
        let dir = dir.into();
        storage.create_dir(&dir)?;
        crate::storage::sync_dirs_up(&*storage, &dir)?;
        let place = Place {
            storage,
            dir,
            identity,
            settings,
        };
        let begin = Begin::New(first_file_no);
        Self::start(place, begin, chain::Link::first(base), VecDeque::new())
    }

    /// Goes on after [`replay`]: makes the tail it accepted durable again and begins a new file
    /// behind it. Acknowledges nothing before that.
    ///
    /// # Errors
    /// When the tail or the new file cannot be made durable.
    pub fn open(
        storage: Arc<dyn Storage>,
        dir: impl Into<Arc<str>>,
        identity: WalIdentity,
        settings: WalSettings,
        end: ReplayEnd,
    ) -> Result<Self> {
        let place = Place {
            storage,
            dir: dir.into(),
            identity,
            settings,
        };
        end.tail.secure(&*place.storage)?;
        // Spares behind the file that is begun; nothing is in them. They go first, because only
        // the highest file may be without a header.
        for &number in end.leftovers.iter().rev() {
            if let Err(error) = place.storage.remove_file(&place.path(number)) {
                tracing::warn!(%error, "unused log file stays");
            }
        }
        if !end.leftovers.is_empty() {
            place.storage.sync_dir(&place.dir)?;
        }
        Self::start(place, end.begin, end.link, end.files)
    }

    fn start(
        place: Place,
        begin: Begin,
        link: chain::Link,
        closed: VecDeque<LogFile>,
    ) -> Result<Self> {
        let spare = begin.prepare(&place)?;
        let counters = Arc::new(Counters::default());
        let (active_number, active_len) = (spare.number, spare.len);
        let files = Arc::new(Mutex::new(Files {
            closed,
            active_number,
            active_len,
        }));
        let writer = Writer::begin(&place, spare, link, &files, &counters)?;
        let plan = Plan::new(writer.left());
        let queue = Queue {
            items: Vec::new(),
            plan,
            last: link.base,
            closed: false,
        };
        Ok(Self {
            place,
            group: GroupCommit::new(queue),
            writer: Mutex::new(writer),
            files,
            counters,
            durable: AtomicU64::new(link.base.0),
            next_number: Mutex::new(active_number + 1),
            too_full: AtomicBool::new(false),
        })
    }

    /// Queues one record behind all others. Cheap unless a file has to be allocated.
    ///
    /// # Errors
    /// As for [`Wal::append_all`].
    pub fn append(&self, record: &WalRecord<'_>) -> Result<Ticket> {
        self.append_all(std::slice::from_ref(record))
    }

    /// Queues records, in this order, behind all others: all of them or none, and all in one file.
    /// A run is appended whole.
    ///
    /// The caller serialises appends, because it gives the SeqNos.
    ///
    /// # Errors
    /// - [`DiskFull`](ErrorKind::DiskFull): no space for them; nothing was queued.
    /// - [`Poisoned`](ErrorKind::Poisoned), [`Closed`](ErrorKind::Closed).
    /// - [`Invalid`](ErrorKind::Invalid): SeqNos that do not follow, a body that is too long, a
    ///   run that is not whole.
    pub fn append_all(&self, records: &[WalRecord<'_>]) -> Result<Ticket> {
        loop {
            match self.group.append(|queue| queue.push(records)) {
                Ok(ticket) => return Ok(ticket),
                Err(Refused::Poisoned(reason)) => return Err(self.poisoned("append", &reason)),
                Err(Refused::Own(NotQueued::Refused(error))) => return Err(error),
                Err(Refused::Own(NotQueued::Space(charge))) => {
                    self.make_spare(charge, WriteClass::Shrinking)?;
                }
            }
        }
    }

    /// Returns when what `ticket` stands for is durable. The first to wait commits for all that
    /// have queued by then, with one sync.
    ///
    /// # Errors
    /// [`Poisoned`](ErrorKind::Poisoned) when a write or sync has failed: whether the record is on
    /// the disk is then unknown.
    pub fn wait(&self, ticket: Ticket) -> Result<Durable> {
        let left = std::cell::Cell::new(0);
        let outcome = self.group.wait(
            ticket,
            |queue| std::mem::take(&mut queue.items),
            |items| self.commit(items).map(|bytes| left.set(bytes)),
            |queue| {
                // Nothing is under way: plan with what is really left, not with the worst case.
                if queue.items.is_empty() {
                    queue.plan.set_left(left.get());
                }
            },
        );
        outcome.map_err(|reason| self.poisoned("sync", &reason))?;
        Ok(Durable(self.durable()))
    }

    /// Waits until everything appended so far, and with it `seqno`, is durable.
    ///
    /// # Errors
    /// As for [`Wal::wait`]; [`Invalid`](ErrorKind::Invalid) when `seqno` was never appended.
    pub fn wait_upto(&self, seqno: SeqNo) -> Result<Durable> {
        if self.durable() >= seqno {
            return Ok(Durable(self.durable()));
        }
        let durable = self.wait(self.group.last())?;
        if durable.seqno() < seqno {
            return Err(Error::invalid(
                "wait",
                format!("seqno {} was never appended", seqno.0),
            ));
        }
        Ok(durable)
    }

    /// The newest SeqNo that is durable.
    pub fn durable(&self) -> SeqNo {
        SeqNo(self.durable.load(Ordering::Acquire))
    }

    /// Why nothing more is acknowledged, if so.
    pub fn poison_reason(&self) -> Option<Arc<str>> {
        self.group.poisoned()
    }

    /// Seals the active file, unless it has no record, and goes on in the next.
    ///
    /// # Errors
    /// As for [`Wal::append_all`] and [`Wal::wait`].
    pub fn rotate(&self) -> Result<()> {
        let ticket = loop {
            match self.group.append(Queue::roll) {
                Ok(ticket) => break ticket,
                Err(Refused::Poisoned(reason)) => return Err(self.poisoned("rotate", &reason)),
                Err(Refused::Own(NotQueued::Refused(error))) => return Err(error),
                Err(Refused::Own(NotQueued::Space(charge))) => {
                    self.make_spare(charge, WriteClass::Shrinking)?;
                }
            }
        };
        self.wait(ticket).map(drop)
    }

    /// The background step of the log, to be run at least every 100 ms: when no group is under
    /// way, writes and syncs a marker behind records that nothing in the file proves to be synced,
    /// and allocates the next file. Says whether it wrote.
    ///
    /// Without the marker a damaged last group would pass for a write that power loss cut off.
    ///
    /// # Errors
    /// [`Poisoned`](ErrorKind::Poisoned) when the marker cannot be made durable. A spare that
    /// cannot be had is no error here: it is one when a write needs it.
    pub fn idle_marker(&self) -> Result<bool> {
        let marked = match self.writer.try_lock() {
            None => false,
            Some(mut writer) => {
                self.check_alive("mark")?;
                self.poisoning(writer.mark())?
            }
        };
        self.keep_spare();
        Ok(marked)
    }

    /// Ends the log: everything appended is durable and marked as such when it returns. Later
    /// appends are refused.
    ///
    /// # Errors
    /// [`Poisoned`](ErrorKind::Poisoned).
    pub fn close(&self) -> Result<()> {
        self.group.with_queue(|queue| queue.closed = true);
        self.wait(self.group.last())?;
        let mut writer = self.writer.lock();
        self.check_alive("close")?;
        self.poisoning(writer.mark()).map(drop)
    }

    /// Removes whole files whose records are all older than `seqno`, oldest first; returns how
    /// many. The caller must have a durable manifest that needs none of them.
    ///
    /// # Errors
    /// When a file cannot be removed; it and those after it are kept then.
    pub fn retire_below(&self, seqno: SeqNo) -> Result<usize> {
        let mut removed = 0;
        loop {
            let oldest = self.files.lock().closed.front().copied();
            let Some(oldest) = oldest.filter(|file| file.last < seqno) else {
                return Ok(removed);
            };
            // Without the lock: the leader of a group must not wait for it.
            match self
                .place
                .storage
                .remove_file(&self.place.path(oldest.number))
            {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            self.files
                .lock()
                .closed
                .retain(|file| file.number != oldest.number);
            removed += 1;
        }
    }

    /// The number of the first file that may have a record newer than `after`: what a manifest
    /// flushed up to there names as its first.
    pub fn first_needed(&self, after: SeqNo) -> u64 {
        let files = self.files.lock();
        let needed = files.closed.iter().find(|file| file.last > after);
        needed.map_or(files.active_number, |file| file.number)
    }

    /// Bytes of all files, as allocated: those with records and the spare.
    pub fn disk_bytes(&self) -> u64 {
        let spare = self.group.with_queue(|queue| queue.plan.spare_len());
        let files = self.files.lock();
        spare + files.active_len + files.closed.iter().map(|file| file.len).sum::<u64>()
    }

    /// What was done since the log was opened.
    pub fn counters(&self) -> WalCounters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WalCounters {
            syncs: load(&self.counters.syncs),
            bytes: load(&self.counters.bytes),
            records: load(&self.counters.records),
            groups: load(&self.counters.groups),
            files: load(&self.counters.files),
        }
    }

    /// Writes and syncs a group; returns how much room the active file has left.
    fn commit(&self, items: Vec<Item>) -> Result<u64, Reason> {
        let mut writer = self.writer.lock();
        match writer.commit(items) {
            Ok(last) => {
                Counters::add(&self.counters.groups, 1);
                self.durable.store(last.0, Ordering::Release);
                Ok(writer.left())
            }
            Err(error) => Err(self.reason(&error)),
        }
    }

    /// Passes a result on; a failure poisons the log.
    fn poisoning<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            let reason = self.reason(&error);
            self.group.poison(Arc::clone(&reason));
            self.poisoned("sync", &reason)
        })
    }

    fn reason(&self, error: &Error) -> Reason {
        let reason = error.chain();
        tracing::error!(dir = %self.place.dir, %reason, "log poisoned");
        reason.into()
    }

    fn poisoned(&self, op: &'static str, reason: &str) -> Error {
        Error::poisoned(op, reason).with_path(&*self.place.dir)
    }

    fn check_alive(&self, op: &'static str) -> Result<()> {
        match self.group.poisoned() {
            Some(reason) => Err(self.poisoned(op, &reason)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
