//! Where the bytes of the log will go, decided before they are written.
//!
//! Records are charged, when they are appended, to the file they will be in; if the file that is
//! being filled has no room left, an allocated spare must be there already. So a full disk refuses
//! the append, and the leader of a group never meets one. The charge is the worst case (a marker
//! after each record), so the writer, who follows the plan, always finds the room it counted on.
//! What is appended together is in one file, which is longer than others if it has to be.
//!
//! One spare is kept allocated ahead of need. Writes that grow the data are refused while little
//! space is free; deletes are not, and the spare is theirs.
//!
//! # Invariants
//! - Files are numbered without gaps, and only the highest number may be without a header: the
//!   spare is made when the file before it has been begun.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use format_spec::wal::{FILE_HEADER_LEN, MAX_BODY_LEN, SEAL_BODY_LEN, record_len};

use super::{Place, Wal};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::File;

/// Bytes of a record without a body: of a marker.
pub(super) const MARKER_LEN: u64 = record_len(0);
/// Bytes of the record that closes a file.
pub(super) const SEAL_LEN: u64 = record_len(SEAL_BODY_LEN as u32);
/// Bytes at the front of a file: the header and the marker that says where the SeqNos start.
pub(super) const OPENING_LEN: u64 = FILE_HEADER_LEN as u64 + MARKER_LEN;
/// Bytes at its end: the last marker and the seal.
pub(super) const CLOSING_LEN: u64 = MARKER_LEN + SEAL_LEN;
/// The smallest file that is worth having; what recovery settles for on a full disk.
const FILE_BYTES_MIN: u64 = 64 << 10;

/// What a write does to the amount of data.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum WriteClass {
    /// Adds points or payloads.
    Growing,
    /// Deletes: must go on working on a full disk, or it could never be emptied.
    Shrinking,
}

/// What a record with a body of this length is charged.
pub(super) fn charge(body_len: u64) -> u64 {
    let len = u32::try_from(body_len.min(MAX_BODY_LEN.into())).unwrap_or(MAX_BODY_LEN);
    record_len(len) + MARKER_LEN
}

/// A file with a name and a durable length that is all zeros.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) number: u64,
    pub(super) len: u64,
    pub(super) file: Arc<dyn File>,
}

impl Spare {
    /// What fits between opening and closing.
    fn room(&self) -> u64 {
        self.len.saturating_sub(OPENING_LEN + CLOSING_LEN)
    }

    fn grow(&self, len: u64) -> Result<()> {
        self.file.allocate(len)?;
        // DURABILITY: the length, so that a shorter file is known to be damaged.
        self.file.sync_all()
    }
}

/// Which file the next records go to.
#[derive(Debug)]
pub(super) struct Plan {
    /// Room in the file being filled.
    left: u64,
    /// Whether it has a record.
    used: bool,
    spare: Option<Spare>,
}

impl Plan {
    pub(super) fn new(left: u64) -> Self {
        Self {
            left,
            used: false,
            spare: None,
        }
    }

    pub(super) fn set_left(&mut self, left: u64) {
        debug_assert!(left >= self.left, "a plan counts on more than there is");
        self.left = left;
    }

    /// Whether records with this charge have a place together in one file.
    pub(super) fn has_room(&self, charge: u64) -> bool {
        charge <= self.left
            || self
                .spare
                .as_ref()
                .is_some_and(|spare| spare.room() >= charge)
    }

    /// Gives records their place; the spare if they begin a new file. There was room.
    pub(super) fn take(&mut self, charge: u64) -> Option<Spare> {
        let mut begun = None;
        if charge > self.left {
            begun = self.spare.take();
            self.left = begun.as_ref().map_or(0, Spare::room);
        }
        assert!(
            charge <= self.left,
            "records were queued without room for them"
        );
        self.left -= charge;
        self.used = true;
        begun
    }

    /// Bytes allocated for the file to go on in.
    pub(super) fn spare_len(&self) -> u64 {
        self.spare.as_ref().map_or(0, |spare| spare.len)
    }

    /// Whether there is a file to leave and none to go on in.
    pub(super) fn lacks_next(&self) -> bool {
        self.used && self.spare.is_none()
    }

    /// Leaves the file being filled, if it has a record, for the spare.
    pub(super) fn roll(&mut self) -> Option<Spare> {
        let begun = self.spare.take_if(|_| self.used)?;
        self.left = begun.room();
        self.used = false;
        Some(begun)
    }

    /// Takes the spare out, to be replaced by a longer one, if nothing of this charge fits in it.
    fn take_small(&mut self, charge: u64) -> Small {
        match self.spare.take_if(|spare| spare.room() < charge) {
            Some(spare) => Small::Spare(spare),
            None if self.spare.is_some() => Small::No,
            None => Small::Missing,
        }
    }
}

/// What there is to be done about the spare.
enum Small {
    /// It is large enough.
    No,
    /// There is none.
    Missing,
    /// It must grow.
    Spare(Spare),
}

impl Wal {
    /// Makes sure that `bytes` of record bodies can be appended, or says why not, before anything
    /// is logged.
    ///
    /// # Errors
    /// [`DiskFull`](ErrorKind::DiskFull): too little is free for data to grow, or, for a write
    /// that shrinks it, nothing is left at all.
    pub fn reserve_for(&self, bytes: u64, class: WriteClass) -> Result<()> {
        if class == WriteClass::Growing {
            self.check_soft_limit()?;
        }
        // The record headers are not known yet: a batch has one record for many operations, and
        // the append itself counts exactly.
        let charge = bytes + bytes / 64 + 8 * charge(0);
        if self.group.with_queue(|queue| queue.plan.has_room(charge)) {
            return Ok(());
        }
        self.make_spare(charge, class)
    }

    fn check_soft_limit(&self) -> Result<()> {
        let settings = &self.place.settings;
        if settings.soft_free_bytes == 0 {
            return Ok(());
        }
        let free = self.place.storage.free_bytes()?;
        let was = self.too_full.load(Ordering::Relaxed);
        let wanted = settings.soft_free_bytes + if was { settings.hysteresis_bytes } else { 0 };
        let now = free < wanted;
        if now != was {
            self.too_full.store(now, Ordering::Relaxed);
            tracing::warn!(free, wanted, refused = now, "writes that grow the data");
        }
        if now {
            let message = format!(
                "{free} bytes of disk space are free, {wanted} are wanted for data to grow"
            );
            return Err(Error::disk_full("reserve", message).with_path(&*self.place.dir));
        }
        Ok(())
    }

    /// Sees to a spare in which records with this charge fit.
    pub(super) fn make_spare(&self, charge: u64, class: WriteClass) -> Result<()> {
        let len = self
            .place
            .settings
            .file_bytes
            .max(charge + OPENING_LEN + CLOSING_LEN);
        let mut next_number = self.next_number.lock();
        // Somebody else may have made one while this waited for the lock.
        let small = self.group.with_queue(|queue| queue.plan.take_small(charge));
        let made = match small {
            Small::No => return Ok(()),
            Small::Spare(spare) => {
                let outcome = self.check_room(len, class).and_then(|()| spare.grow(len));
                // What is on the disk counts, whether or not it grew.
                match spare.file.len() {
                    Ok(len) if outcome.is_ok() || spare.file.sync_all().is_ok() => {
                        let spare = Spare { len, ..spare };
                        self.group
                            .with_queue(|queue| queue.plan.spare = Some(spare));
                    }
                    // It is made anew, under the same number, when it is needed.
                    Ok(_) | Err(_) => *next_number = spare.number,
                }
                return outcome;
            }
            Small::Missing => {
                self.check_room(len, class)?;
                // Files get their headers in the order of their numbers: only the highest may be
                // without.
                if !self.is_settled(*next_number) {
                    self.wait(self.group.last())?;
                }
                fresh(&self.place, *next_number, len)?
            }
        };
        *next_number += 1;
        self.group.with_queue(|queue| queue.plan.spare = Some(made));
        Ok(())
    }

    /// Whether the file before this number has its header.
    fn is_settled(&self, next_number: u64) -> bool {
        self.files.lock().active_number + 1 == next_number
    }

    fn check_room(&self, len: u64, class: WriteClass) -> Result<()> {
        let soft = self.place.settings.soft_free_bytes;
        if class == WriteClass::Shrinking || soft == 0 {
            return Ok(());
        }
        let free = self.place.storage.free_bytes()?;
        if free >= soft.saturating_add(len) {
            return Ok(());
        }
        let message =
            format!("{free} bytes of disk space are free, too few for a log file of {len}");
        Err(Error::disk_full("reserve", message).with_path(&*self.place.dir))
    }

    /// Has a spare ahead of need, unless that would take the last space there is.
    pub(super) fn keep_spare(&self) {
        let wanted = self
            .group
            .with_queue(|queue| queue.plan.spare.is_none() && !queue.closed);
        let settled = self
            .next_number
            .try_lock()
            .is_some_and(|next| self.is_settled(*next));
        let twice = self.place.settings.file_bytes.saturating_mul(2);
        if wanted
            && settled
            && self
                .place
                .storage
                .free_bytes()
                .is_ok_and(|free| free >= twice)
            && let Err(error) = self.make_spare(charge(0), WriteClass::Shrinking)
        {
            tracing::warn!(%error, "no spare log file");
        }
    }
}

/// Makes a file: name and length are durable when it returns.
fn fresh(place: &Place, number: u64, len: u64) -> Result<Spare> {
    let path = place.path(number);
    let file = match place.storage.create(&path) {
        Err(error) if error.kind() == ErrorKind::Conflict => {
            // Left by an attempt that failed half-way; no header was ever written.
            place.storage.remove_file(&path)?;
            place.storage.create(&path)?
        }
        created => created?,
    };
    let spare = Spare { number, len, file };
    if let Err(error) = spare
        .grow(len)
        .and_then(|()| place.storage.sync_dir(&place.dir))
    {
        if let Err(leftover) = place.storage.remove_file(&path) {
            tracing::warn!(%leftover, "unused log file stays");
        }
        return Err(error);
    }
    Ok(spare)
}

/// What the first file of a process is made from.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Begin {
    /// A file that does not exist.
    New(u64),
    /// A void file: a spare of an earlier process.
    Void(u64),
    /// A file with a header, perhaps an opening marker, and nothing behind: it begins anew.
    Again(u64),
}

impl Begin {
    pub(super) fn number(self) -> u64 {
        match self {
            Self::New(number) | Self::Void(number) | Self::Again(number) => number,
        }
    }

    /// The file to begin in. A smaller one rather than none, so that a full disk can be opened,
    /// and emptied.
    pub(super) fn prepare(self, place: &Place) -> Result<Spare> {
        let mut len = place.settings.file_bytes.max(OPENING_LEN + CLOSING_LEN);
        loop {
            match self.prepare_with(place, len) {
                Err(error) if error.kind() == ErrorKind::DiskFull && len > FILE_BYTES_MIN => {
                    len = (len / 4).max(FILE_BYTES_MIN);
                }
                outcome => return outcome,
            }
        }
    }

    fn prepare_with(self, place: &Place, len: u64) -> Result<Spare> {
        let number = self.number();
        if let Self::New(_) = self {
            return fresh(place, number, len);
        }
        let file = place.storage.open(&place.path(number))?;
        if let Self::Again(_) = self {
            // The old marker goes before the new header comes, for a header that is cut off must
            // have zeros behind it. The length stays, the old header names it.
            let opening = to_zero(file.len()?);
            file.write_at(FILE_HEADER_LEN as u64, &opening)?;
        } else if file.len()? < len.min(FILE_BYTES_MIN) {
            file.allocate(len)?;
        }
        // DURABILITY: the zeros, and what the earlier process may have died before it could sync.
        file.sync_all()?;
        place.storage.sync_dir(&place.dir)?;
        let len = file.len()?;
        if len < OPENING_LEN + CLOSING_LEN {
            return Err(Error::damaged(
                place.path(number),
                format!("only {len} bytes long"),
            ));
        }
        Ok(Spare { number, len, file })
    }
}

/// Zeros for what may stand between the header and the first operation.
fn to_zero(file_len: u64) -> Vec<u8> {
    let opening = MARKER_LEN.min(file_len.saturating_sub(FILE_HEADER_LEN as u64));
    vec![0; usize::try_from(opening).unwrap_or_default()]
}
