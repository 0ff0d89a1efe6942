//! What is appended and not yet written: records in the order of their SeqNos, each with the file
//! it will go to.
//!
//! # Invariants
//! - SeqNos are contiguous, and a run is whole and in one file: the reader takes anything else for
//!   damage.
//! - A record is queued only with room planned for it.

use std::sync::Arc;

use format_spec::SeqNo;
use format_spec::wal::{self as format, FLAG_COMMIT, FLAG_RUN, RecordHeader};

use super::WalRecord;
use super::space::{self, Plan, Spare};
use crate::error::{Error, Result};

/// A record that waits for its group.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) header: RecordHeader,
    pub(super) body: Arc<[u8]>,
}

/// What the leader has to do, in order.
#[derive(Debug)]
pub(super) enum Item {
    Record(Entry),
    /// Seal the active file and go on in this one.
    Roll(Spare),
}

/// What appends and the leader share.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) items: Vec<Item>,
    pub(super) plan: Plan,
    /// Last SeqNo appended.
    pub(super) last: SeqNo,
    pub(super) closed: bool,
}

/// Why a record was not queued.
pub(super) enum NotQueued {
    /// A file with room for this charge must be allocated first.
    Space(u64),
    Refused(Error),
}

impl Queue {
    /// Queues all records or none.
    pub(super) fn push(&mut self, records: &[WalRecord<'_>]) -> Result<(), NotQueued> {
        self.check(records).map_err(NotQueued::Refused)?;
        let charge = records
            .iter()
            .map(|record| space::charge(record.body.len() as u64))
            .sum();
        if !self.plan.has_room(charge) {
            return Err(NotQueued::Space(charge));
        }
        if let Some(spare) = self.plan.take(charge) {
            self.items.push(Item::Roll(spare));
        }
        for record in records {
            let run = if record.in_run { FLAG_RUN } else { 0 };
            let commit = if record.in_run && record.commits {
                FLAG_COMMIT
            } else {
                0
            };
            let header = RecordHeader {
                seq_first: record.seq_first.0,
                seq_last: record.seq_last.0,
                epoch: record.epoch.0,
                schema_version: record.schema_version,
                kind: format::KIND_OPS,
                flags: run | commit,
                ..RecordHeader::default()
            };
            self.items.push(Item::Record(Entry {
                header,
                body: Arc::clone(record.body),
            }));
            self.last = record.seq_last;
        }
        Ok(())
    }

    /// The rules that the reader relies on.
    fn check(&self, records: &[WalRecord<'_>]) -> Result<()> {
        if self.closed {
            return Err(Error::closed("append"));
        }
        let (mut last, mut in_run) = (self.last, false);
        for record in records {
            let (first, end) = (record.seq_first.0, record.seq_last.0);
            if last.0.checked_add(1) != Some(first) || end < first {
                let message = format!("seqnos {first} to {end} after {}", last.0);
                return Err(Error::invalid("append", message));
            }
            if in_run && !record.in_run {
                return Err(Error::invalid("append", "a record interrupts a run"));
            }
            if record.body.len() as u64 > u64::from(format::MAX_BODY_LEN) {
                let message = format!("body of {} bytes is too long", record.body.len());
                return Err(Error::invalid("append", message));
            }
            last = record.seq_last;
            in_run = record.in_run && !record.commits;
        }
        if in_run {
            return Err(Error::invalid("append", "a run without its last record"));
        }
        Ok(())
    }

    /// Queues the change to the next file, if the present one has records.
    pub(super) fn roll(&mut self) -> Result<(), NotQueued> {
        if self.closed {
            return Err(NotQueued::Refused(Error::closed("rotate")));
        }
        if self.plan.lacks_next() {
            return Err(NotQueued::Space(space::charge(0)));
        }
        self.items.extend(self.plan.roll().map(Item::Roll));
        Ok(())
    }
}
