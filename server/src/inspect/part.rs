//! Part files: the container, and then what is in it.

use std::path::Path;

use engine::{DiskStorage, Storage};
use format_spec::path::{DataPath, parse_manifest_name};
use format_spec::{
    CollectionId, DecodeError, PartEntry, PartId, PartIdentity, PartKind, PartLayout, ShardId,
    ShardManifest, Why, verify_part,
};
use serde_json::{Value as Tree, json};

use super::contents;
use super::manifest::collection_at;
use super::{Report, hex};

/// Where a part's header says what it is, for a file that does not lie in a data directory.
const KIND: usize = 12;
const PART_ID: usize = 40;
const COLLECTION: usize = 48;
const SHARD: usize = 64;
/// The folder of a shard's manifests, beside that of its parts.
const MANIFESTS: &str = "manifest";

fn identity(file: &Path, bytes: &[u8], place: Option<&DataPath>) -> Option<PartIdentity> {
    let len = bytes.len() as u64;
    if let Some(&DataPath::Part {
        collection,
        shard,
        id,
        kind,
    }) = place
    {
        let own = PartIdentity {
            kind,
            part_id: id,
            collection,
            shard,
            len,
        };
        let listed = listed(file, (collection, shard), (id, kind));
        return Some(listed.map_or(own, |entry| PartIdentity {
            len,
            ..entry.identity(collection, shard)
        }));
    }
    let kind = bytes
        .get(KIND..)?
        .first_chunk()
        .copied()
        .map(u32::from_le_bytes)?;
    let part_id = bytes
        .get(PART_ID..)?
        .first_chunk()
        .copied()
        .map(u64::from_le_bytes)?;
    let shard = bytes
        .get(SHARD..)?
        .first_chunk()
        .copied()
        .map(u32::from_le_bytes)?;
    Some(PartIdentity {
        kind: PartKind::from_tag(u8::try_from(kind).ok()?)?,
        part_id: PartId(part_id),
        collection: collection_at(bytes, COLLECTION),
        shard: ShardId(shard),
        len,
    })
}

/// What the newest sound manifest of its shard that names a part says of it.
fn listed(
    file: &Path,
    (collection, shard): (CollectionId, ShardId),
    (id, kind): (PartId, PartKind),
) -> Option<PartEntry> {
    let absolute = std::path::absolute(file).ok()?;
    let storage = DiskStorage::new(absolute.parent()?.parent()?).ok()?;
    let names = storage.list(MANIFESTS).ok()?.into_iter();
    let numbered = names.filter_map(|entry| Some((parse_manifest_name(&entry.name)?, entry.name)));
    let mut numbered: Vec<_> = numbered.collect();
    numbered.sort_unstable_by(|a, b| b.cmp(a));
    numbered.into_iter().find_map(|(number, name)| {
        let bytes = storage.map(&format!("{MANIFESTS}/{name}")).ok()?;
        let manifest = ShardManifest::decode(&bytes, number, collection, shard).ok()?;
        let mut parts = manifest
            .segments
            .into_iter()
            .flat_map(|segment| segment.parts);
        parts.find(|part| (part.id, part.kind) == (id, kind))
    })
}

pub(super) fn report(
    report: &mut Report,
    (file, bytes): (&Path, &[u8]),
    place: Option<&DataPath>,
    all: bool,
) {
    let Some(identity) = identity(file, bytes, place) else {
        report.set("kind", "part");
        report.error = Some(DecodeError::new(
            KIND as u64,
            "kind",
            Why::Kind { found: 0 },
        ));
        return;
    };
    report.set("kind", identity.kind.extension());
    let Some(layout) = report.step(PartLayout::open(bytes, &identity)) else {
        return;
    };
    let header = layout.header();
    report.set("version", header.format_version);
    report.set("len", layout.len());
    report.set("part_id", header.part_id.0);
    report.set("collection", header.collection.to_string());
    report.set("shard", header.shard.0);
    report.set("features_required", header.features_required);
    report.set("features_optional", header.features_optional);
    report.set("source_hash", header.source_hash.map(|hash| hex(&hash)));
    report.set("blocks", layout.block_count());
    let sections = layout.sections().map(|(tag, range)| {
        json!({"tag": tag_text(tag), "at": range.start, "len": range.end - range.start})
    });
    report.set("sections", sections.collect::<Vec<Tree>>());
    if report.step(verify_part(&layout, bytes)).is_none() {
        return;
    }
    contents::report(report, &layout, bytes, all);
}

/// A section's tag is four characters.
fn tag_text(tag: u32) -> String {
    tag.to_le_bytes()
        .iter()
        .map(|byte| char::from(*byte))
        .collect()
}
