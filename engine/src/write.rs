//! The write path.
//!
//! [`Shard::append`] then [`Shard::apply`] is the only way data enters a shard. In order:
//!
//! ```text
//! append: admit -- SeqNo -- wal.append -- wal.wait (group sync)     DURABLE
//!         (a replica set waits for its acknowledgements here)
//! apply:  older rows dead -- memtable or patch -- publish           VISIBLE
//!         seal when the memtable is full
//! ```
//!
//! # Invariants
//! - A SeqNo is visible only if its record is durable.
//! - SeqNos become visible in order; a batch is visible whole or not at all.
//! - Apply cannot fail: everything that can be refused is refused before the SeqNo is given.
//! - Replay gives the same state on any manifest whose flushed SeqNo it starts from, also when
//!   deaths
//!   after that SeqNo are in the manifest already.
//! - After a failed sync no later write of the shard succeeds; the WAL is poisoned.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use format_spec::wal_ops::{Op, OpsBuf, OpsRef};
use format_spec::{Epoch, PointId, Row, SeqNo};
use parking_lot::MutexGuard;

use crate::batch::WriteBatch;
use crate::error::Result;
use crate::memtable::Memtable;
use crate::patches::Patch;
use crate::shard::{AppendSide, ApplySide, Shard};
use crate::snapshot::Snapshot;
use crate::version::SegmentState;
use crate::wal::{Ticket, WalRecord};

/// The SeqNos of an appended batch: its operations are durable.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Appended {
    /// SeqNo of the first operation.
    pub first: SeqNo,
    /// SeqNo of the last operation; `first - 1` for an empty batch.
    pub last: SeqNo,
}

/// A batch that has its SeqNos and waits to be applied.
#[derive(Debug)]
pub(crate) struct Pending {
    first: SeqNo,
    last: SeqNo,
    /// Bodies of its records, in order.
    bodies: Vec<OpsBuf>,
}

/// The right to resolve an operation against the newest state and append the outcome.
///
/// While it is held nothing else is appended to the shard.
#[derive(Debug)]
pub struct Turn<'a> {
    shard: &'a Shard,
    side: MutexGuard<'a, AppendSide>,
}

impl Turn<'_> {
    /// The state after everything appended before.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.shard.state())
    }

    /// Appends what was resolved; durable when it returns.
    ///
    /// # Errors
    /// As for [`Collection::append`](crate::Collection::append).
    pub fn append(self, batch: WriteBatch) -> Result<Appended> {
        let Self { shard, mut side } = self;
        let batch = shard.with_whole_points(batch);
        shard.reserve(&batch)?;
        let (appended, ticket) = shard.enqueue(&mut side, batch)?;
        drop(side);
        shard.wait_durable(ticket, appended.last)?;
        Ok(appended)
    }
}

impl Shard {
    /// Logs a batch; durable when it returns.
    pub(crate) fn append(&self, batch: WriteBatch) -> Result<Appended> {
        if batch.patches() {
            return self.turn(batch.grows())?.append(batch);
        }
        self.admit(batch.grows())?;
        self.reserve(&batch)?;
        let mut side = self.append.lock();
        let (appended, ticket) = self.enqueue(&mut side, batch)?;
        drop(side);
        self.wait_durable(ticket, appended.last)?;
        Ok(appended)
    }

    /// Waits for room in memory if what will be appended `grows`, then until everything appended is
    /// applied, and holds back other appends.
    pub(crate) fn turn(&self, grows: bool) -> Result<Turn<'_>> {
        self.admit(grows)?;
        let side = self.append.lock();
        let last = SeqNo(side.next.0 - 1);
        self.wal.wait_upto(last)?;
        self.apply_upto(last);
        Ok(Turn { shard: self, side })
    }

    /// Makes an appended batch, and all before it, visible.
    pub(crate) fn apply(&self, appended: &Appended) -> SeqNo {
        self.apply_upto(appended.last)
    }

    /// A patch stands on the row it replaces the payload of. A row in memory may be gone from the
    /// manifest (merged away as dead) before the row that replaces it is flushed, so the patch of
    /// such a row is logged as the whole point, which replay can apply to anything. The rows of
    /// segments stay, patched, as long as no newer whole point or delete ends them.
    fn with_whole_points(&self, batch: WriteBatch) -> WriteBatch {
        if !batch.patches() {
            return batch;
        }
        let state = self.state();
        batch.with_whole_points(&state.schema, |id, rows| {
            let views = state.memtables.iter().rev();
            let Some((view, row)) = views.into_iter().find_map(|v| Some((v, v.row_of(id)?))) else {
                return false;
            };
            rows.begin(id);
            for index in 0..state.schema.vectors.len() {
                if let Some(vector) = view.vector(index, row) {
                    rows.raw_vector(index, vector);
                }
            }
            true
        })
    }

    fn enqueue(
        &self,
        side: &mut AppendSide,
        batch: WriteBatch,
    ) -> Result<(Appended, Option<Ticket>)> {
        self.check_open("append")?;
        self.check_certain()?;
        let records = batch.into_records()?;
        let first = side.next;
        let schema_version = self.state().schema.version;
        let bodies: Vec<Arc<[u8]>> = records.iter().map(|record| record.body.shared()).collect();
        let mut run = Vec::with_capacity(records.len());
        let mut next = first;
        for (at, (record, body)) in records.iter().zip(&bodies).enumerate() {
            let seq_last = SeqNo(next.0 + record.ops - 1);
            run.push(WalRecord {
                seq_first: next,
                seq_last,
                epoch: Epoch(0),
                schema_version,
                in_run: records.len() > 1,
                commits: at + 1 == records.len(),
                body,
            });
            next = SeqNo(seq_last.0 + 1);
        }
        let ticket = if run.is_empty() {
            None
        } else {
            Some(self.wal.append_all(&run)?)
        };
        let bodies: Vec<OpsBuf> = records.into_iter().map(|record| record.body).collect();
        let appended = Appended {
            first,
            last: SeqNo(next.0 - 1),
        };
        if !bodies.is_empty() {
            side.next = next;
            self.pending.lock().push_back(Pending {
                first,
                last: appended.last,
                bodies,
            });
        }
        Ok((appended, ticket))
    }

    /// Waits until what was enqueued is durable; for an empty batch, until all before it is.
    fn wait_durable(&self, ticket: Option<Ticket>, last: SeqNo) -> Result<()> {
        match ticket {
            Some(ticket) => self.wal.wait(ticket).map(drop),
            None => self.wal.wait_upto(last).map(drop),
        }
    }

    /// Applies pending batches up to `last`, which is durable; returns the SeqNo published.
    fn apply_upto(&self, last: SeqNo) -> SeqNo {
        let mut side = self.apply.lock();
        while let Some(pending) = self.take_pending(last) {
            let mut seqno = pending.first;
            for body in &pending.bodies {
                seqno = side.apply_ops(body.ops(), seqno);
            }
            side.seqno = pending.last;
        }
        self.encode_rows(&mut side);
        let now_ms = self.base.now_ms();
        self.last_write_ms.store(now_ms, Ordering::Relaxed);
        if side.is_full(self.base.around.settings.memtable_bytes_max) {
            self.last_full_ms.store(now_ms, Ordering::Relaxed);
            self.seal(&mut side);
        }
        self.publish(&side);
        side.seqno
    }

    /// Has the rows that came encoded in the background, once they are so many that a search of
    /// their vectors takes its time.
    fn encode_rows(&self, side: &mut ApplySide) {
        let settings = &self.base.around.settings;
        let active = side.memtables.last_mut();
        let due = active.and_then(|active| active.due_for_codes(settings.codes_bytes_min));
        let Some(job) = due else {
            return;
        };
        // Whoever runs the steps itself wants nothing to run beside it, and without threads this
        // one has to do.
        let pool = (settings.workers > 0).then(|| self.base.around.encode_pool.get());
        match pool {
            Some(Ok(pool)) => pool.spawn(|| job.run()),
            _ => job.run(),
        }
    }

    fn take_pending(&self, last: SeqNo) -> Option<Pending> {
        let mut pending = self.pending.lock();
        let due = pending.front().is_some_and(|front| front.last <= last);
        if due { pending.pop_front() } else { None }
    }

    /// Seals the active memtable: later writes go to a new one, and a flush is due.
    pub(crate) fn seal(&self, side: &mut ApplySide) {
        side.seal_in_place();
        self.base.around.wakeup.notify();
    }
}

impl ApplySide {
    /// Applies the operations of one record; returns the SeqNo after its last.
    pub(crate) fn apply_ops(&mut self, ops: OpsRef<'_>, first: SeqNo) -> SeqNo {
        let mut seqno = first;
        for op in ops.iter() {
            match op {
                Op::Upsert(upsert) => {
                    let blocks: Vec<_> = (0..self.schema.vectors.len())
                        .map(|name| upsert.block(name as u16))
                        .collect();
                    for at in 0..upsert.len() {
                        let id = upsert.id(at);
                        self.end(id, seqno);
                        let vector = |name: usize| blocks[name].as_ref()?.row(at);
                        self.active().insert(id, seqno, vector, upsert.payload(at));
                    }
                }
                Op::Delete(delete) => delete.ids().iter().for_each(|id| self.end(id, seqno)),
                Op::Patch(patch) => {
                    (0..patch.len()).for_each(|at| {
                        self.patch(patch.id(at), seqno, patch.payload(at));
                    });
                }
            }
            seqno = SeqNo(seqno.0 + 1);
        }
        seqno
    }

    fn active(&mut self) -> &mut Memtable {
        if self.memtables.is_empty() {
            self.add_memtable();
        }
        let last = self.memtables.len() - 1;
        &mut self.memtables[last]
    }

    /// Ends the live row of `id`, wherever it is.
    fn end(&mut self, id: PointId, seqno: SeqNo) {
        for memtable in self.memtables.iter_mut().rev() {
            if let Some(row) = memtable.alive(id) {
                memtable.kill(row, seqno);
                return;
            }
        }
        if let Some((state, row)) = self.find_sealed(id) {
            state.dead.set(row);
        }
    }

    /// The segment and row where `id` lives. In a segment that is set aside it does not live, but
    /// newer writes of it are noted there, and win when it is repaired. One whose rows do not
    /// verify is passed over.
    fn find_sealed(&mut self, id: PointId) -> Option<(&mut SegmentState, Row)> {
        let aside = self
            .damaged
            .iter_mut()
            .filter_map(|damaged| damaged.state.as_mut());
        let segments = self.segments.iter_mut().rev().chain(aside);
        segments.into_iter().find_map(|state| {
            let row = state.row_of(id).ok().flatten()?;
            Some((Arc::make_mut(state), row))
        })
    }

    /// Replaces the payload of `id`: a new row in memory, a patch in a segment.
    fn patch(&mut self, id: PointId, seqno: SeqNo, payload: &[u8]) {
        for at in (0..self.memtables.len()).rev() {
            let Some(row) = self.memtables[at].alive(id) else {
                continue;
            };
            let view = self.memtables[at].view(seqno);
            self.memtables[at].kill(row, seqno);
            self.active()
                .insert(id, seqno, |name| view.vector(name, row), payload);
            return;
        }
        if let Some((state, row)) = self.find_sealed(id) {
            state.patch(Patch {
                row,
                seqno,
                payload: Arc::from(payload),
            });
        }
    }

    /// Keeps the state of this moment for a flush, and begins a new memtable.
    pub(crate) fn seal_in_place(&mut self) {
        self.sealed.push_back(Arc::new(self.state()));
        self.sealed_patches = self.patch_bytes();
        self.add_memtable();
    }

    /// Bytes of all patches that are only in memory.
    pub(crate) fn patch_bytes(&self) -> u64 {
        self.segments
            .iter()
            .map(|state| state.patches.delta.bytes())
            .sum()
    }

    /// Bytes that came since the last seal and that a flush would free.
    pub(crate) fn unflushed_bytes(&self) -> u64 {
        let patches = self.patch_bytes().saturating_sub(self.sealed_patches);
        self.memtables.last().map_or(0, Memtable::bytes) + patches
    }

    pub(crate) fn is_full(&self, most: u64) -> bool {
        let most = most.min(self.schema.compaction.memtable_bytes_max);
        self.unflushed_bytes() >= most
    }
}
