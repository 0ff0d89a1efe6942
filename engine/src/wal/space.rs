//! Where the bytes of the log will go, decided before they are written.
//!
//! Every record is charged, when it is appended, to the file it will be in; if the file that is
//! being filled has no room left, an allocated spare must be there already. So a full disk refuses
//! the append, and the leader of a group never meets one. The charge is the worst case (a marker
//! after each record), so the writer, who follows the plan, always finds the room it counted on.
//!
//! One spare is kept allocated ahead of need. Writes that grow the data are refused while little
//! space is free; deletes are not, and the spare is theirs.

use std::collections::VecDeque;
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
}

/// A spare that is not there.
#[derive(Copy, Clone, Debug)]
pub(super) struct Missing {
    /// What must fit in it.
    charge: u64,
    /// [`Plan::made`] when it was missed.
    made: u64,
}

/// Which file the next record goes to.
#[derive(Debug)]
pub(super) struct Plan {
    /// Room in the file being filled.
    left: u64,
    /// Whether it has a record.
    used: bool,
    spares: VecDeque<Spare>,
    /// How many spares there ever were: tells whether one came since somebody looked.
    made: u64,
    /// Spares that turned out too small, to be removed.
    passed_over: Vec<Spare>,
}

impl Plan {
    pub(super) fn new(left: u64) -> Self {
        Self {
            left,
            used: false,
            spares: VecDeque::new(),
            made: 0,
            passed_over: Vec::new(),
        }
    }

    pub(super) fn set_left(&mut self, left: u64) {
        debug_assert!(left >= self.left, "a plan counts on more than there is");
        self.left = left;
    }

    /// Whether records with these charges have a place; if not, what is missing.
    pub(super) fn check(&self, charges: impl Iterator<Item = u64>) -> Result<(), Missing> {
        let mut left = self.left;
        let mut rooms = self.spares.iter().map(Spare::room);
        for charge in charges {
            if charge > left {
                left = rooms
                    .find(|&room| room >= charge)
                    .ok_or(self.missing(charge))?;
            }
            left -= charge;
        }
        Ok(())
    }

    fn missing(&self, charge: u64) -> Missing {
        Missing {
            charge,
            made: self.made,
        }
    }

    fn add(&mut self, spare: Spare) {
        self.spares.push_back(spare);
        self.made += 1;
    }

    /// Gives one record its place; the spare if that begins a new file. [`Plan::check`] was good.
    pub(super) fn take(&mut self, charge: u64) -> Option<Spare> {
        let mut begun = None;
        while charge > self.left
            && let Some(spare) = self.spares.pop_front()
        {
            if spare.room() < charge {
                self.passed_over.push(spare);
                continue;
            }
            self.left = spare.room();
            begun = Some(spare);
        }
        assert!(
            charge <= self.left,
            "a record was queued without room for it"
        );
        self.left -= charge;
        self.used = true;
        begun
    }

    /// Leaves the file being filled, if it has a record, for the next spare.
    pub(super) fn roll(&mut self) -> Result<Option<Spare>, Missing> {
        if !self.used {
            return Ok(None);
        }
        let missing = self.missing(charge(0));
        let spare = self.spares.pop_front().ok_or(missing)?;
        self.left = spare.room();
        self.used = false;
        Ok(Some(spare))
    }
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
        let most = u64::from(MAX_BODY_LEN);
        loop {
            let records = std::iter::repeat_n(most, usize::try_from(bytes / most).unwrap_or(0));
            let charges = records.chain([bytes % most]).map(charge);
            let Err(missing) = self.group.with_queue(|queue| queue.plan.check(charges)) else {
                return Ok(());
            };
            self.make_spare(missing, class)?;
        }
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
            let message = format!("{free} bytes are free, {wanted} are wanted for data to grow");
            return Err(Error::disk_full("reserve", message).with_path(&*self.place.dir));
        }
        Ok(())
    }

    /// Allocates the file that is missing.
    pub(super) fn make_spare(&self, missing: Missing, class: WriteClass) -> Result<()> {
        let settings = &self.place.settings;
        let len = settings
            .file_bytes
            .max(missing.charge + OPENING_LEN + CLOSING_LEN);
        let mut number = self.next_number.lock();
        // Somebody else may have made one while this waited for the lock.
        if self
            .group
            .with_queue(|queue| queue.plan.made != missing.made)
        {
            return Ok(());
        }
        if class == WriteClass::Growing
            && self.place.storage.free_bytes()? < settings.soft_free_bytes.saturating_add(len)
        {
            let message = format!("no space for a log file of {len} bytes");
            return Err(Error::disk_full("reserve", message).with_path(&*self.place.dir));
        }
        let spare = allocate(&self.place, &mut number, len)?;
        let too_small = self.group.with_queue(|queue| {
            queue.plan.add(spare);
            std::mem::take(&mut queue.plan.passed_over)
        });
        self.drop_spares(too_small);
        Ok(())
    }

    /// Has one spare ahead of need, unless that would take the last space there is.
    pub(super) fn keep_spare(&self) {
        let (missing, too_small) = self.group.with_queue(|queue| {
            let none = queue.plan.spares.is_empty() && !queue.closed;
            (
                none.then(|| queue.plan.missing(charge(0))),
                std::mem::take(&mut queue.plan.passed_over),
            )
        });
        self.drop_spares(too_small);
        let file_bytes = self.place.settings.file_bytes;
        let enough = |free: u64| free >= file_bytes.saturating_mul(2);
        if let Some(missing) = missing
            && self.place.storage.free_bytes().is_ok_and(enough)
            && let Err(error) = self.make_spare(missing, WriteClass::Shrinking)
        {
            tracing::warn!(%error, "no spare log file");
        }
    }

    fn drop_spares(&self, spares: Vec<Spare>) {
        for spare in spares {
            if let Err(error) = self
                .place
                .storage
                .remove_file(&self.place.path(spare.number))
            {
                tracing::warn!(%error, "unused log file stays");
            }
        }
    }
}

/// Makes the next file: name and length are durable when it returns. A number that failed is not
/// used again, so that a file that could not be removed is in nobody's way.
fn allocate(place: &Place, next_number: &mut u64, len: u64) -> Result<Spare> {
    let number = *next_number;
    *next_number += 1;
    let path = place.path(number);
    let file = place.storage.create(&path)?;
    // DURABILITY: the length, so that a shorter file is known to be damaged, and the name, so that
    // no record is acknowledged in a file that a crash takes away.
    let made = file
        .allocate(len)
        .and_then(|()| file.sync_all())
        .and_then(|()| place.storage.sync_dir(&place.dir));
    match made {
        Ok(()) => Ok(Spare { number, len, file }),
        Err(error) => {
            if let Err(leftover) = place.storage.remove_file(&path) {
                tracing::warn!(%leftover, "unused log file stays");
            }
            Err(error)
        }
    }
}

/// The file that a log begins with; a smaller one rather than none, so that a full disk can be
/// opened, and emptied. Returns also the number after it.
pub(super) fn first_file(place: &Place, number: u64) -> Result<(Spare, u64)> {
    let mut next_number = number;
    let mut len = place
        .settings
        .file_bytes
        .max(OPENING_LEN + CLOSING_LEN + MARKER_LEN);
    loop {
        match allocate(place, &mut next_number, len) {
            Ok(spare) => return Ok((spare, next_number)),
            Err(error) if error.kind() == ErrorKind::DiskFull && len > FILE_BYTES_MIN => {
                len = (len / 4).max(FILE_BYTES_MIN);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether a spare of this length is to be taken over.
pub(super) fn is_worth_having(place: &Place, len: u64) -> bool {
    len >= place.settings.file_bytes.min(FILE_BYTES_MIN)
}

/// Takes over a spare that an earlier process left.
pub(super) fn adopt(place: &Place, number: u64, len: u64) -> Result<Spare> {
    let file = place.storage.open(&place.path(number))?;
    // DURABILITY: the earlier process may have died before it could do this.
    file.sync_all()?;
    place.storage.sync_dir(&place.dir)?;
    Ok(Spare { number, len, file })
}
