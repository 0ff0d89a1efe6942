//! Part files that another shard takes over, as after a split or from a snapshot: linked under ids
//! of their own, with the origin that their checksums are bound to.

use std::sync::Arc;

use engine::storage::sim::{CrashChoice, SimDisk};
use engine::{Collection, Db, Storage, UpsertRows, WriteBatch};
use format_spec::path::{manifest_dir, manifest_name, part_name, parts_dir};
use format_spec::{CollectionId, PartId, PointId, SegmentId, ShardId, ShardManifest, Value};
use tests::second_reader::{agrees_on_all, copy_out};
use tests::session::{open, schema};
use tests::workload::FLOATS;

const SHARD: ShardId = ShardId(0);

fn write(collection: &Collection, ids: std::ops::Range<u64>) {
    let mut rows = UpsertRows::new(&collection.schema());
    for id in ids {
        rows.begin(PointId::Number(id));
        let vector: Vec<f32> = (0..FLOATS)
            .map(|at| (id as usize * 7 + at) as f32)
            .collect();
        rows.vector(0, &vector).unwrap();
        rows.payload(&Value::Object(vec![("n".to_owned(), Value::Int(id as i64))]).to_bytes());
    }
    let mut batch = WriteBatch::new();
    batch.upsert(rows);
    collection.write(batch).unwrap();
}

fn settle(db: &Db, collection: &Collection) {
    collection.run_now();
    while db.step() {}
}

/// Every id with its number, by what the payload says.
fn numbers(collection: &Collection) -> Vec<(PointId, Value)> {
    let snapshot = collection.snapshot();
    let mut found = Vec::new();
    for source in snapshot.sources() {
        let mut payloads = source.hit_payloads();
        for entry in source.ids_from(None) {
            let (id, row) = entry.unwrap();
            let vector = source.vector(0, row).unwrap().unwrap();
            assert_eq!(vector.len(), FLOATS * 4);
            found.push((id, Value::decode(payloads.get(row).unwrap()).unwrap()));
        }
    }
    found.sort_by_key(|(id, _)| *id);
    found
}

fn expected(ids: std::ops::Range<u64>) -> Vec<(PointId, Value)> {
    let number = |id| Value::Object(vec![("n".to_owned(), Value::Int(id as i64))]);
    ids.map(|id| (PointId::Number(id), number(id))).collect()
}

fn newest(disk: &SimDisk, collection: CollectionId) -> ShardManifest {
    let dir = manifest_dir(collection, SHARD);
    let names = disk.list(&dir).unwrap().into_iter();
    let number = names
        .filter_map(|e| format_spec::path::parse_manifest_name(&e.name))
        .max();
    let number = number.unwrap();
    let bytes = disk
        .bytes(&format!("{dir}/{}", manifest_name(number)))
        .unwrap();
    ShardManifest::decode(&bytes, number, collection, SHARD).unwrap()
}

/// Puts the segments of one shard into another, which is empty.
fn adopt(disk: &SimDisk, from: CollectionId, to: CollectionId) {
    let (given, mut taken) = (newest(disk, from), newest(disk, to));
    assert!(taken.segments.is_empty() && !given.segments.is_empty());
    taken.number += 1;
    taken.flushed = given.flushed;
    for mut segment in given.segments {
        segment.id = SegmentId(taken.next_segment);
        taken.next_segment += 1;
        for part in &mut segment.parts {
            // Others than they had.
            let id = PartId(taken.next_part + 1000);
            taken.next_part += 1;
            let before = format!(
                "{}/{}",
                parts_dir(from, SHARD),
                part_name(part.id, part.kind)
            );
            let after = format!("{}/{}", parts_dir(to, SHARD), part_name(id, part.kind));
            disk.link(&before, &after).unwrap();
            *part = part.clone().adopted(id, (from, SHARD));
        }
        taken.segments.push(segment);
    }
    taken.next_part += 1001;
    disk.sync_dir(&parts_dir(to, SHARD)).unwrap();
    let path = format!(
        "{}/{}",
        manifest_dir(to, SHARD),
        manifest_name(taken.number)
    );
    let file = disk.create(&path).unwrap();
    file.write_at(0, &taken.encode()).unwrap();
    file.sync_all().unwrap();
    disk.sync_dir(&manifest_dir(to, SHARD)).unwrap();
}

#[test]
fn a_shard_that_takes_over_parts_serves_merges_and_hands_them_on() {
    let disk = SimDisk::new();
    let db = open(Arc::new(disk.clone())).unwrap();
    let given = db.create_collection("given", schema()).unwrap();
    let taken = db.create_collection("taken", schema()).unwrap();
    let again = db.create_collection("again", schema()).unwrap();
    write(&given, 0..200);
    settle(&db, &given);
    let (from, to, last) = (given.id(), taken.id(), again.id());
    drop((given, taken, again));
    db.close().unwrap();
    drop(db);
    adopt(&disk, from, to);
    // Handed on once more: the origin stays what the file says.
    adopt(&disk, to, last);
    let copies = tempfile::tempdir().unwrap();
    copy_out(&disk, copies.path());
    agrees_on_all("adopted", copies.path(), 20);

    // The shards that wrote and handed on may go.
    let db = open(Arc::new(disk.crash(&CrashChoice::nothing()))).unwrap();
    assert!(db.drop_collection("given").unwrap() && db.drop_collection("taken").unwrap());
    let collection = db.collection("again").unwrap();
    assert_eq!(numbers(&collection), expected(0..200));
    assert!(collection.status().damaged.is_empty());
    write(&collection, 200..260);
    settle(&db, &collection);
    assert_eq!(numbers(&collection), expected(0..260));
}
