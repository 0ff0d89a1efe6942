//! A job: carries out one plan and installs the outcome.
//!
//! The work is done on the state J that was published when the job started, without any lock.
//! Writes go on meanwhile. Installing holds `version`, takes what happened between J and now
//! over into the output, and publishes inputs out and output in, at once.
//!
//! # Invariants
//! - Damage does not spread: the files that are merged are compared with their hashes first.
//! - A row that died, or was patched, after J is dead, or patched, in the output.
//! - What the manifest says is exact for a state at or after the last flush, so that replaying
//!   the WAL on top of it gives the newest state.

use std::sync::Arc;

use format_spec::{PartEntry, PartKind, Row, Schema, SegmentEntry, SegmentId, SeqNo};
use index::GONE;

use super::graph::{Merged, write_graph};
use super::policy::{Choice, Plan};
use super::run::Ticker;
use crate::attempt::attempt;
use crate::bits::Bits;
use crate::error::{Error, ErrorKind, Result};
use crate::flush::{open_listed, written_bytes};
use crate::install::{install_manifest, set_codes, set_part, unset_part};
use crate::patches::{Patch, Patches};
use crate::rate::urgently;
use crate::segment::Segment;
use crate::segment::build::{
    Replaced, write_column, write_folded, write_replaced, write_segment, write_statistics,
    write_tombstones,
};
use crate::segment::codes::{add_codes, write_codes};
use crate::segment::gather::Pick;
use crate::segment::recall::note_recall;
use crate::segment::selected::Selected;
use crate::shard::{Shard, VersionSide};
use crate::source::Source;
use crate::status::Meters;
use crate::version::{SegmentState, ShardState};

/// Free space a job asks for, in percent of its inputs, beside the shard's soft limit.
const SPACE_PERCENT: u64 = 110;

impl Shard {
    /// Carries out a plan.
    ///
    /// # Errors
    /// `Closed` when the shard closes, `Conflict` when an input is gone, `Corrupt`, `DiskFull`.
    pub(super) fn run(&self, choice: &Choice, ticker: &Ticker<'_>) -> Result<()> {
        let job = Job {
            shard: self,
            start: self.state(),
            ticker,
        };
        job.check_space(choice)?;
        attempt(self.base.storage(), || match &choice.plan {
            Plan::Drop { segment } => job.drop_segment(*segment),
            Plan::Column { segment, field } => job.column(*segment, *field),
            Plan::Statistics { segment } => job.statistics(*segment),
            Plan::Fold { segment } => job.fold(*segment),
            Plan::Merge {
                segments, graph, ..
            } => job.merge(segments, *graph),
            Plan::Codes { segment, vector } => job.codes(*segment, *vector),
            Plan::Graph { segment, vector } => job.graph(*segment, *vector),
        })
    }
}

struct Job<'a> {
    shard: &'a Shard,
    /// The state the work is done on.
    start: Arc<ShardState>,
    ticker: &'a Ticker<'a>,
}

/// What happened to the rows of an output since the job started.
struct CarriedOver {
    dead: Bits,
    /// The inputs.
    sources: Vec<Source>,
    /// Patched rows, ascending.
    patched: Vec<Replaced>,
}

impl CarriedOver {
    fn patched_rows(&self, rows: u32) -> Bits {
        Bits::from_rows(rows, self.patched.iter().map(|patch| patch.row))
    }
}

impl Job<'_> {
    fn check_space(&self, choice: &Choice) -> Result<()> {
        let base = &self.shard.base;
        let need = choice.bytes * SPACE_PERCENT / 100;
        let free = base.storage().free_bytes()?;
        if matches!(choice.plan, Plan::Drop { .. }) || free >= need {
            return Ok(());
        }
        let message = format!("{} needs {need} bytes, {free} are free", choice.plan.kind());
        Err(Error::disk_full("compact", message))
    }

    fn input(&self, id: SegmentId) -> Result<&Arc<SegmentState>> {
        let found = self
            .start
            .segments
            .iter()
            .find(|state| state.segment.id() == id);
        found.ok_or_else(|| Error::conflict("compact", format!("segment {} is gone", id.0)))
    }

    fn merge(&self, ids: &[SegmentId], graph: bool) -> Result<()> {
        let base = &self.shard.base;
        let schema = &self.start.schema;
        let inputs = ids
            .iter()
            .map(|&id| self.input(id))
            .collect::<Result<Vec<_>>>()?;
        let sources: Vec<Source> = inputs
            .iter()
            .map(|state| Source::segment(Arc::clone(state)))
            .collect();
        let mut passes: Vec<_> = inputs.iter().map(|state| state.segment.passes()).collect();
        let total: u64 = inputs
            .iter()
            .map(|state| u64::from(state.live_count()))
            .sum();
        let check = |done: u64| self.ticker.at(done, total);
        for state in &inputs {
            state.segment.check_contents(base.storage(), &|| check(0))?;
        }
        let rows = Selected::live(&sources, &schema.fields, &check)?;
        for (passes, ascends) in passes.iter_mut().zip(rows.ascend()) {
            if !ascends {
                passes.clear();
            }
        }
        let mut entry = write_segment(base, schema, &rows, self.start.seqno, &check)?;
        drop(passes);
        add_codes(base, &mut entry, schema, None, &check)?;
        let maps = rows.maps();
        drop(rows);
        if graph {
            let merged = inputs.iter().zip(&maps);
            let merged: Vec<Merged<'_>> = merged
                .map(|(state, rows)| Merged {
                    segment: &state.segment,
                    rows,
                })
                .collect();
            self.add_graphs(&mut entry, schema, &merged)?;
        }
        self.install_merge(ids, entry, &maps)
    }

    fn add_graphs(
        &self,
        entry: &mut SegmentEntry,
        schema: &Schema,
        merged: &[Merged<'_>],
    ) -> Result<()> {
        let base = &self.shard.base;
        let (dir, owner) = (base.name.parts_dir(), base.name.owner());
        let flat = Segment::open(base.storage(), &dir, owner, entry.clone(), schema, &[])?;
        for (index, vector) in schema.vectors.iter().enumerate() {
            if vector.hnsw.m > 0 && flat.vectors_part(index).is_some() {
                let mut part = write_graph(base, &flat, (index, vector), merged, self.ticker)?;
                note_recall(base, entry, schema, (index, &mut part))?;
                entry.parts.push(part);
            }
        }
        Ok(())
    }

    fn install_merge(
        &self,
        ids: &[SegmentId],
        mut entry: SegmentEntry,
        maps: &[Vec<Row>],
    ) -> Result<()> {
        let shard = self.shard;
        let mut version = shard.version.lock();
        shard.check_open("compact")?;
        let now = shard.state();
        let carried = self.carry(ids, &now, maps, entry.rows)?;
        let id = entry.id;
        // Flushes wait for `version`, so what is written under it does not wait for the rate.
        urgently(|| self.write_carried(&mut entry, &carried, now.seqno))?;
        let mut next = version.next(&shard.base);
        let before = next.segments.len();
        next.segments.retain(|listed| !ids.contains(&listed.id));
        if next.segments.len() + ids.len() != before {
            return Err(Error::conflict("compact", "an input is no longer listed"));
        }
        next.segments.push(entry);
        // Everything that can fail comes before the manifest, which cannot be taken back.
        let segment = open_listed(&shard.base, &now, &next, id)?;
        segment.drop_cached();
        let written = written_bytes(&next, &version.current);
        install_manifest(&shard.base, &mut version, next, &now)?;
        Meters::add(&shard.base.meters.compacted_bytes, written);
        // The patch part just written has them all; only newer ones stay in memory.
        let patches = Patches {
            rows: carried.patched_rows(segment.row_count()),
            ..Patches::default()
        };
        let mut output = SegmentState {
            segment,
            persisted_dead: carried.dead.clone(),
            dead: carried.dead,
            patches,
        };
        let mut side = shard.apply.lock();
        for (id, map) in ids.iter().zip(maps) {
            let found = |state: &&Arc<SegmentState>| state.segment.id() == *id;
            let (Some(then), Some(newest)) = (
                now.segments.iter().find(found),
                side.segments.iter().find(found),
            ) else {
                continue;
            };
            let ended = newest.dead.added_since(&then.dead);
            ended.filter_map(|row| mapped(map, row)).for_each(|row| {
                output.dead.set(row);
            });
            for patch in newest
                .patches
                .delta
                .iter()
                .filter(|patch| patch.seqno > now.seqno)
            {
                if let Some(row) = mapped(map, patch.row) {
                    output.patch(Patch {
                        row,
                        ..patch.clone()
                    });
                }
            }
        }
        side.segments
            .retain(|state| !ids.contains(&state.segment.id()));
        side.segments.push(Arc::new(output));
        side.segments
            .sort_by_key(|state| state.segment.entry().seqno_min);
        shard.publish(&side);
        Ok(())
    }

    /// Deaths and patches of the inputs between the start and `now`, as rows of the output.
    fn carry(
        &self,
        ids: &[SegmentId],
        now: &ShardState,
        maps: &[Vec<Row>],
        rows: u32,
    ) -> Result<CarriedOver> {
        let mut carried = CarriedOver {
            dead: Bits::new(rows),
            sources: Vec::new(),
            patched: Vec::new(),
        };
        for (&id, map) in ids.iter().zip(maps) {
            let then = self.input(id)?;
            let Some(state) = now.segments.iter().find(|s| s.segment.id() == id) else {
                return Err(Error::conflict(
                    "compact",
                    format!("segment {} is gone", id.0),
                ));
            };
            for row in state
                .dead
                .added_since(&then.dead)
                .filter_map(|row| mapped(map, row))
            {
                carried.dead.set(row);
            }
            let source = Source::segment(Arc::clone(state));
            let number = carried.sources.len() as u32;
            for old in state.patches.rows.iter() {
                let seqno = source.seqno(old)?;
                let from = Pick {
                    source: number,
                    row: old,
                };
                if let Some(row) = mapped(map, old).filter(|_| seqno > self.start.seqno) {
                    carried.patched.push(Replaced { row, seqno, from });
                }
            }
            carried.sources.push(source);
        }
        carried.patched.sort_unstable_by_key(|patch| patch.row);
        Ok(carried)
    }

    fn write_carried(
        &self,
        entry: &mut SegmentEntry,
        carried: &CarriedOver,
        upto: SeqNo,
    ) -> Result<()> {
        let base = &self.shard.base;
        if carried.dead.count() > 0 {
            set_part(
                entry,
                write_tombstones(base, entry.rows, &carried.dead, upto)?,
            );
        }
        if !carried.patched.is_empty() {
            let (sources, patched) = (&carried.sources, &carried.patched);
            let part = write_replaced(base, entry.rows, sources, patched, upto)?;
            set_part(entry, part);
        }
        Ok(())
    }

    fn drop_segment(&self, id: SegmentId) -> Result<()> {
        let shard = self.shard;
        let mut version = shard.version.lock();
        shard.check_open("compact")?;
        let now = shard.state();
        let mut next = version.next(&shard.base);
        next.segments.retain(|listed| listed.id != id);
        // The deaths of its last rows may lie above the last flush: replay finds no row to end.
        install_manifest(&shard.base, &mut version, next, &now)?;
        let mut side = shard.apply.lock();
        side.segments.retain(|state| state.segment.id() != id);
        shard.publish(&side);
        Ok(())
    }

    fn graph(&self, id: SegmentId, vector: usize) -> Result<()> {
        let state = self.input(id)?;
        let _passes = state.segment.passes();
        let schema = self.start.schema.vectors.get(vector);
        let schema = schema.ok_or_else(|| Error::conflict("compact", "no such vector"))?;
        let base = &self.shard.base;
        let mut part = write_graph(base, &state.segment, (vector, schema), &[], self.ticker)?;
        self.note_recall(state, vector, &mut part)?;
        self.add_part(id, part, PartKind::Vectors)
    }

    fn note_recall(&self, state: &SegmentState, vector: usize, part: &mut PartEntry) -> Result<()> {
        let (base, schema) = (&self.shard.base, &self.start.schema);
        note_recall(base, state.segment.entry(), schema, (vector, part))
    }

    fn codes(&self, id: SegmentId, vector: usize) -> Result<()> {
        let state = self.input(id)?;
        let _passes = state.segment.passes();
        let schema = self.start.schema.vectors.get(vector);
        let schema = schema.ok_or_else(|| Error::conflict("compact", "no such vector"))?;
        let total = u64::from(state.segment.row_count());
        let check = |done: u64| self.ticker.at(done, total);
        let base = &self.shard.base;
        let mut part = write_codes(base, &state.segment, (vector, schema), None, &check)?;
        self.note_recall(state, vector, &mut part)?;
        let graph = self.graph_on(state, vector, &part)?;
        self.add_parts(id, (part, graph), PartKind::Vectors)
    }

    /// The graph of a segment that gets other codes: it is searched by these, so that its recall is
    /// measured again.
    fn graph_on(
        &self,
        state: &SegmentState,
        vector: usize,
        codes: &PartEntry,
    ) -> Result<Option<PartEntry>> {
        let (base, schema) = (&self.shard.base, &self.start.schema);
        let mut entry = state.segment.entry().clone();
        let mut graphs = entry.parts.iter().filter(|p| p.kind == PartKind::Graph);
        let Some(mut graph) = graphs.find(|p| p.name == codes.name).cloned() else {
            return Ok(None);
        };
        set_codes(&mut entry, codes.clone());
        note_recall(base, &entry, schema, (vector, &mut graph))?;
        Ok(Some(graph))
    }

    fn column(&self, id: SegmentId, field: usize) -> Result<()> {
        let state = self.input(id)?;
        let _passes = state.segment.passes();
        let field = self.start.schema.fields.get(field);
        let field = field.ok_or_else(|| Error::conflict("compact", "no such field"))?;
        let total = u64::from(state.segment.row_count());
        let check = |done: u64| self.ticker.at(done, total);
        let part = write_column(&self.shard.base, state, field, &check)?;
        self.add_part(id, part, PartKind::Payload)
    }

    fn statistics(&self, id: SegmentId) -> Result<()> {
        let state = self.input(id)?;
        let _passes = state.segment.passes();
        let total = u64::from(state.segment.row_count());
        let check = |done: u64| self.ticker.at(done, total);
        let part = write_statistics(&self.shard.base, state, &check)?;
        self.add_part(id, part, PartKind::Payload)
    }

    /// Lists a derived part, if its source is still the one it was made from.
    fn add_part(&self, id: SegmentId, part: PartEntry, source: PartKind) -> Result<()> {
        self.add_parts(id, (part, None), source)
    }

    /// Adds a part made from the one of kind `source`, and what is known anew of another one, if
    /// that is still listed.
    fn add_parts(
        &self,
        id: SegmentId,
        (part, other): (PartEntry, Option<PartEntry>),
        source: PartKind,
    ) -> Result<()> {
        let mut version = self.shard.version.lock();
        let mut entry = version.entry(id)?.clone();
        let name = if source == PartKind::Vectors {
            part.name.as_str()
        } else {
            ""
        };
        let made_from = entry
            .parts
            .iter()
            .find(|p| p.kind == source && p.name == name);
        if made_from.map(|p| p.hash) != part.source_hash {
            return Err(Error::conflict(
                "compact",
                "the source was replaced meanwhile",
            ));
        }
        if matches!(part.kind, PartKind::Codes | PartKind::Product) {
            set_codes(&mut entry, part);
        } else {
            set_part(&mut entry, part);
        }
        let listed = |other: &PartEntry| entry.parts.iter().any(|part| part.id == other.id);
        if let Some(other) = other.filter(listed) {
            set_part(&mut entry, other);
        }
        self.replace_entry(&mut version, entry, |_| {})
    }

    fn fold(&self, id: SegmentId) -> Result<()> {
        let state = self.input(id)?;
        let _passes = state.segment.passes();
        let total = u64::from(state.segment.row_count());
        let check = |done: u64| self.ticker.at(done, total);
        let (base, upto) = (&self.shard.base, self.start.seqno);
        let (parts, seqno_max) = write_folded(base, &self.start.schema, state, upto, &check)?;
        let mut version = self.shard.version.lock();
        let mut entry = version.entry(id)?.clone();
        unset_part(&mut entry, PartKind::Column);
        unset_part(&mut entry, PartKind::Statistics);
        entry.seqno_max = entry.seqno_max.max(seqno_max);
        for part in parts {
            set_part(&mut entry, part);
        }
        let patch = entry.parts.iter().find(|part| part.kind == PartKind::Patch);
        let keeps = patch.is_some_and(|part| part.exact_for > upto);
        if !keeps {
            unset_part(&mut entry, PartKind::Patch);
        }
        self.replace_entry(&mut version, entry, |state| {
            state.patches.delta = state.patches.delta.newer_than(upto);
            if !keeps {
                let rows: Vec<Row> = state.patches.delta.iter().map(|patch| patch.row).collect();
                state.patches.rows = Bits::from_rows(state.segment.row_count(), rows.into_iter());
            }
        })
    }

    /// Installs a manifest in which one segment has other parts, and publishes it.
    fn replace_entry(
        &self,
        version: &mut VersionSide,
        entry: SegmentEntry,
        adapt: impl FnOnce(&mut SegmentState),
    ) -> Result<()> {
        let shard = self.shard;
        shard.check_open("compact")?;
        let now = shard.state();
        let id = entry.id;
        let mut next = version.next(&shard.base);
        match next.segments.iter_mut().find(|listed| listed.id == id) {
            Some(listed) => *listed = entry,
            None => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "compact",
                    "segment is gone",
                ));
            }
        }
        let segment = open_listed(&shard.base, &now, &next, id)?;
        let written = written_bytes(&next, &version.current);
        install_manifest(&shard.base, version, next, &now)?;
        Meters::add(&shard.base.meters.compacted_bytes, written);
        let mut side = shard.apply.lock();
        if let Some(state) = side.segments.iter_mut().find(|s| s.segment.id() == id) {
            let state = Arc::make_mut(state);
            state.segment = segment;
            adapt(state);
        }
        shard.publish(&side);
        Ok(())
    }
}

fn mapped(map: &[Row], row: Row) -> Option<Row> {
    map.get(row as usize).copied().filter(|&row| row != GONE)
}
