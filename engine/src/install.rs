//! Installing a manifest: from files to the durable truth of a shard.
//!
//! # Invariants
//! - Every part a manifest names is synced, and so is its name, before the manifest is written.
//! - Only files that neither the newest manifest nor the one before names are ever removed.

use std::sync::Arc;

use format_spec::{PartEntry, PartId, PartKind, SegmentEntry, SegmentId, ShardManifest};

use crate::attempt::keep;
use crate::error::{Error, Result};
use crate::numbered;
use crate::segment::part_path;
use crate::shard::{Ground, VersionSide};
use crate::version::ShardState;

impl VersionSide {
    /// The newest manifest as the start of the next one.
    pub(crate) fn next(&self, base: &Ground) -> ShardManifest {
        let (next_part, next_segment) = base.next_ids();
        ShardManifest {
            next_part,
            next_segment,
            ..self.current.clone()
        }
    }

    /// What the newest manifest says of a segment.
    ///
    /// # Errors
    /// `NotFound` when it does not list it.
    pub(crate) fn entry(&self, id: SegmentId) -> Result<&SegmentEntry> {
        let entry = self.current.segments.iter().find(|entry| entry.id == id);
        entry.ok_or_else(|| Error::not_found("open segment", format!("segment {}", id.0)))
    }
}

/// Puts `part` in the place of the one of the same kind and name.
pub(crate) fn set_part(entry: &mut SegmentEntry, part: PartEntry) {
    entry
        .parts
        .retain(|old| (old.kind, &old.name) != (part.kind, &part.name));
    entry.parts.push(part);
}

/// Puts codes in the place of those of the same name: a vector has codes of one kind.
pub(crate) fn set_codes(entry: &mut SegmentEntry, part: PartEntry) {
    let kinds = [PartKind::Codes, PartKind::Product];
    let replaced = |old: &PartEntry| kinds.contains(&old.kind) && old.name == part.name;
    entry.parts.retain(|old| !replaced(old));
    entry.parts.push(part);
}

/// Takes the part of a kind out of an entry.
pub(crate) fn unset_part(entry: &mut SegmentEntry, kind: PartKind) {
    entry.parts.retain(|old| old.kind != kind);
}

/// Makes `next` the truth; `current` is the published state, whose open parts tell which files
/// still have readers.
///
/// # Errors
/// What the disk says. The manifest before then stays the truth, unless the file became durable
/// although its sync failed; both describe the same points, so either may be found at the next
/// start.
pub(crate) fn install_manifest(
    base: &Ground,
    version: &mut VersionSide,
    mut next: ShardManifest,
    current: &ShardState,
) -> Result<()> {
    let storage = base.storage();
    storage.sync_dir(&base.name.parts_dir())?;
    next.number = version.next_manifest;
    version.next_manifest += 1;
    (next.next_part, next.next_segment) = base.next_ids();
    let dir = base.name.manifest_dir();
    let name = format_spec::path::manifest_name(next.number);
    let created = numbered::create(storage, &dir, &name, &next.encode());
    if created
        .as_ref()
        .map_or_else(|failed| failed.in_doubt, |()| true)
    {
        keep();
    }
    created?;
    let dropped = dropped_parts(&version.current, &next);
    for (id, kind) in dropped {
        let path = part_path(&base.name.parts_dir(), id, kind);
        let mut open = current
            .segments
            .iter()
            .flat_map(|state| state.segment.parts());
        match open.find(|part| part.entry().id == id) {
            Some(part) => version.retired.add_open(Arc::clone(part)),
            None => version.retired.add_unopened(path, id),
        }
    }
    let before = std::mem::replace(&mut version.current, next);
    version.previous = Some(before);
    let oldest = version
        .previous
        .as_ref()
        .map_or(version.current.number, |m| m.number);
    numbered::remove_below(
        storage,
        &dir,
        oldest,
        format_spec::path::parse_manifest_name,
    );
    Ok(())
}

fn dropped_parts(before: &ShardManifest, next: &ShardManifest) -> Vec<(PartId, PartKind)> {
    let ids = |manifest: &ShardManifest| -> Vec<(PartId, PartKind)> {
        let parts = manifest.segments.iter().flat_map(|segment| &segment.parts);
        parts.map(|part| (part.id, part.kind)).collect()
    };
    let kept: std::collections::BTreeSet<_> = ids(next).into_iter().collect();
    ids(before)
        .into_iter()
        .filter(|part| !kept.contains(part))
        .collect()
}
