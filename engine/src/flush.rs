//! Flush: a sealed memtable becomes a flat segment, and the WAL before it is no longer needed.
//!
//! ```text
//! parts of the new segment ┐
//! tombstones, patches      ├─ sync directory ─ manifest N+1 ─ install ─ cut the WAL
//! of segments touched      ┘                   DURABLE        VISIBLE
//! ```
//!
//! A flush at S writes exactly the state at S, which the seal kept: copy-on-write bitmaps and
//! `dead_at` make that state readable however long the flush waits. A segment that is younger than
//! the seal is written as it is now, which is exact for a later SeqNo.
//!
//! # Invariants
//! - The manifest that says `flushed = S` lists every death and patch up to S.
//! - A tombstones or patch part never replaces one that is exact for a later SeqNo.
//! - The caller holds `version`, so no other manifest comes in between.

use std::sync::Arc;

use format_spec::{PartEntry, PartKind, Row, SegmentEntry, SegmentId, SeqNo, ShardManifest};

use crate::attempt::attempt;
use crate::bits::Bits;
use crate::error::{Error, Result};
use crate::install::{install_manifest, set_part};
use crate::memtable::MemtableView;
use crate::rate::urgently;
use crate::segment::Segment;
use crate::segment::build::{write_patches, write_segment, write_tombstones};
use crate::segment::codes::add_codes;
use crate::segment::made::Made;
use crate::segment::selected::Selected;
use crate::shard::{ApplySide, Ground, Shard, VersionSide};
use crate::source::Source;
use crate::status::{JobReport, Meters};
use crate::version::{SegmentState, ShardState};

/// A flush that is durable and waits to be published.
#[derive(Debug)]
pub(crate) struct Flushed {
    memtable: MemtableView,
    /// The new segment, and the memtable row of each of its rows.
    segment: Option<(Arc<Segment>, Vec<Row>)>,
    touched: Vec<Touched>,
}

/// A segment with a new tombstones or patch part.
#[derive(Debug)]
struct Touched {
    id: SegmentId,
    /// As it is listed now; `None` if it is set aside and does not open.
    segment: Option<Arc<Segment>>,
    /// The dead rows that are durable now.
    dead: Bits,
    /// Whether the patches up to `upto` are durable now.
    patched: bool,
    upto: SeqNo,
}

/// Writes what `sealed` has and the newest manifest lacks; the WAL is needed from file `first_wal`
/// on by the manifest that is the newest now and will be kept. Durable when this returns.
///
/// # Errors
/// What the disk says; nothing has changed then but for orphan files.
pub(crate) fn write_flush(
    base: &Ground,
    version: &mut VersionSide,
    current: &ShardState,
    sealed: &ShardState,
    first_wal: u64,
) -> Result<Option<Flushed>> {
    let Some(memtable) = sealed.memtables.last() else {
        return Ok(None);
    };
    let upto = sealed.seqno;
    let mut next = version.next(base);
    let mut touched = Vec::new();
    // A segment that came after the seal (from the flush or merge before) is written as it is now:
    // what is exact for a later SeqNo than S may be replayed onto.
    let then = |id: SegmentId| sealed.known().find(|state| state.segment.id() == id);
    for now in current.known() {
        let id = now.segment.id();
        let (state, upto) = then(id).map_or((now, current.seqno), |state| (state, upto));
        let Some(entry) = next.segments.iter_mut().find(|entry| entry.id == id) else {
            continue;
        };
        if let Some(patched) = write_changes(base, state, entry, upto)? {
            let dead = state.dead.clone();
            touched.push(Touched {
                id,
                segment: None,
                dead,
                patched,
                upto,
            });
        }
    }
    let source = [Source::Memtable(memtable.at(upto))];
    let (schema, check) = (&sealed.schema, &|_| Ok(()));
    let selected = Selected::live(&source, &schema.fields, check)?;
    let rows: Vec<Row> = selected.iter().map(|pick| pick.row).collect();
    let new = if rows.is_empty() {
        None
    } else {
        let mut entry = write_segment(base, schema, &selected, upto, check)?;
        let all = rows.len() == memtable.rows() as usize;
        let made = match (selected.is_as_they_come(), all) {
            (true, true) => Some(Made::as_they_come(memtable)),
            (true, false) => None,
            (false, _) => Some(Made::of_rows(memtable, &rows)),
        };
        add_codes(base, &mut entry, schema, made, check)?;
        Some(entry)
    };
    next.segments.extend(new.iter().cloned());
    next.flushed = upto;
    next.first_wal = first_wal;
    // Everything that can fail comes before the manifest, which cannot be taken back.
    let open = |id: SegmentId| open_listed(base, current, &next, id);
    let segment = match new {
        Some(entry) => {
            let segment = open(entry.id)?;
            segment.drop_cached();
            Some((segment, rows))
        }
        None => None,
    };
    for touched in &mut touched {
        // One that is set aside does not open, and is not served.
        touched.segment = open(touched.id).ok();
    }
    let written = written_bytes(&next, &version.current);
    install_manifest(base, version, next, current)?;
    Meters::add(&base.meters.flushed_bytes, written);
    Ok(Some(Flushed {
        memtable: memtable.clone(),
        segment,
        touched,
    }))
}

/// Opens a segment as `manifest` lists it, sharing the parts that are open already.
///
/// # Errors
/// `NotFound` when it is not listed; what opening its parts says.
pub(crate) fn open_listed(
    base: &Ground,
    current: &ShardState,
    manifest: &ShardManifest,
    id: SegmentId,
) -> Result<Arc<Segment>> {
    let listed = manifest.segments.iter().find(|entry| entry.id == id);
    let missing = || Error::not_found("open segment", format!("segment {}", id.0));
    let entry = listed.ok_or_else(missing)?.clone();
    let known = current
        .segments
        .iter()
        .find(|state| state.segment.id() == id);
    let before = known.map(|state| &*state.segment);
    let known = before.map_or(&[][..], |segment| segment.parts());
    let dir = base.name.parts_dir();
    let owner = base.name.owner();
    let segment = Segment::open(base.storage(), &dir, owner, entry, &current.schema, known)?;
    segment.place(base.storage(), &base.placement());
    segment.serve(&base.around, before);
    if let Some(before) = before {
        segment.keep_coded(before);
    }
    Ok(Arc::new(segment))
}

/// Writes the tombstones and patches of one segment as of `upto`, if they are not durable yet;
/// tells whether a patch part was written.
fn write_changes(
    base: &Ground,
    state: &SegmentState,
    entry: &mut SegmentEntry,
    upto: SeqNo,
) -> Result<Option<bool>> {
    let exact = |kind: PartKind| exact_for(entry, kind);
    let dead = state.dead.count() != state.persisted_dead.count()
        && exact(PartKind::Tombstones).is_none_or(|at| at < upto);
    let folded = exact(PartKind::Payload).is_some_and(|at| at >= upto);
    // The patches of a segment that cannot be read wait in memory and in vain; deaths do not.
    let patched = state.patches.delta.count() > 0
        && state.segment.damage().is_none()
        && !folded
        && exact(PartKind::Patch).is_none_or(|at| at < upto);
    if dead {
        set_part(
            entry,
            write_tombstones(base, state.segment.row_count(), &state.dead, upto)?,
        );
    }
    if patched {
        set_part(entry, write_patches(base, state, upto)?);
    }
    Ok((dead || patched).then_some(patched))
}

fn exact_for(entry: &SegmentEntry, kind: PartKind) -> Option<SeqNo> {
    entry
        .parts
        .iter()
        .find(|part| part.kind == kind)
        .map(|part| part.exact_for)
}

/// Bytes of the parts that `next` has and `before` has not.
pub(crate) fn written_bytes(next: &ShardManifest, before: &ShardManifest) -> u64 {
    let parts = |manifest: &ShardManifest| -> Vec<PartEntry> {
        manifest
            .segments
            .iter()
            .flat_map(|segment| segment.parts.clone())
            .collect()
    };
    let known = parts(before);
    parts(next)
        .iter()
        .filter(|part| !known.contains(part))
        .map(|part| part.len)
        .sum()
}

impl ApplySide {
    /// Puts a durable flush in the place of the oldest sealed memtable.
    pub(crate) fn install_flush(&mut self, flushed: Flushed) {
        let Flushed {
            memtable,
            segment,
            touched,
        } = flushed;
        for touched in touched {
            let Some(state) = self.known_mut(touched.id) else {
                continue;
            };
            let state = Arc::make_mut(state);
            state.persisted_dead = touched.dead;
            if let Some(segment) = touched.segment {
                state.segment = segment;
                if touched.patched {
                    state.patches.delta = state.patches.delta.newer_than(touched.upto);
                }
            }
        }
        if let Some((segment, rows)) = segment {
            let now = memtable.at(SeqNo(u64::MAX - 1));
            let ended = rows.iter().zip(0..).filter(|(row, _)| !now.is_live(**row));
            let dead = Bits::from_rows(segment.row_count(), ended.map(|(_, row)| row));
            let persisted_dead = Bits::new(segment.row_count());
            let patches = crate::patches::Patches::new(segment.row_count());
            self.segments.push(Arc::new(SegmentState {
                segment,
                dead,
                patches,
                persisted_dead,
            }));
        }
        self.memtables.remove(0);
        self.sealed.pop_front();
        self.sealed_patches = self.sealed_patches.min(self.patch_bytes());
    }
}

impl Shard {
    /// Flushes the oldest sealed memtable; false when there is none.
    ///
    /// # Errors
    /// What the disk says; the memtable stays sealed and is tried again.
    pub(crate) fn flush(&self) -> Result<bool> {
        let mut version = self.version.lock();
        self.check_open("flush")?;
        let Some(sealed) = self.apply.lock().sealed.front().map(Arc::clone) else {
            return Ok(false);
        };
        let started_ms = self.base.around.clock.now_ms();
        let current = self.state();
        let first_wal = self.wal.first_needed(version.current.flushed);
        let base = &self.base;
        let flushed = attempt(base.storage(), || {
            urgently(|| write_flush(base, &mut version, &current, &sealed, first_wal))
        })?;
        let rows = flushed
            .as_ref()
            .and_then(|flushed| flushed.segment.as_ref());
        let rows = rows.map_or(0, |(_, rows)| rows.len() as u64);
        let mut side = self.apply.lock();
        if let Some(flushed) = flushed {
            side.install_flush(flushed);
        }
        self.publish(&side);
        drop(side);
        drop((sealed, current));
        self.make_room();
        self.jobs.note(JobReport {
            kind: "flush",
            why: "a memtable was sealed".to_owned(),
            segments: Vec::new(),
            rows,
            progress: 1.0,
            started_ms,
            ended_ms: Some(self.base.around.clock.now_ms()),
            error: None,
        });
        let kept = version
            .previous
            .as_ref()
            .map_or(SeqNo(0), |manifest| manifest.flushed);
        self.wal.retire_below(kept)?;
        Ok(true)
    }
}
