//! Everything a database shows, read through its snapshots into an oracle's [`World`].
//!
//! On the way every promise that needs no oracle is checked: ids in order, each point in one
//! place, counts that agree, nothing set aside as damaged.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Collection, Color, Db, Snapshot};
use format_spec::{PointId, Value};

use crate::model::{Contents, Point, Test, VECTORS, World, sorted};
use crate::session::{env, filter};

/// What `db` shows.
///
/// # Errors
/// Which promise does not hold, and where.
pub fn world(db: &Db) -> Result<World, String> {
    let mut shown = World::default();
    for collection in db.collections() {
        let contents = contents(&collection)
            .map_err(|why| format!("collection {}: {why}", collection.name()))?;
        shown
            .collections
            .insert(collection.name().to_owned(), contents);
    }
    Ok(shown)
}

/// Fails when a collection is red: after a restart on a good disk none is.
///
/// # Errors
/// Which one, and what it says.
pub fn check_healthy(db: &Db) -> Result<(), String> {
    let red = db
        .collections()
        .into_iter()
        .find(|c| c.status().color == Color::Red);
    match red {
        Some(collection) => Err(format!(
            "{}: red: {:?}",
            collection.name(),
            collection.status()
        )),
        None => Ok(()),
    }
}

fn contents(collection: &Collection) -> Result<Contents, String> {
    let status = collection.status();
    // Background work that fails makes it red, and rightly so; damage there is none.
    let failing = status.optimizer_error.is_some();
    if status.color == Color::Red && !failing || !status.damaged.is_empty() {
        return Err(format!("false alarm: {status:?}"));
    }
    let snapshot = collection.snapshot();
    let fields = snapshot
        .schema()
        .fields
        .iter()
        .map(|field| field.path.clone());
    let mut found = Contents {
        fields: fields.collect::<BTreeSet<_>>(),
        ..Contents::default()
    };
    for at in 0..snapshot.sources().len() {
        source(&snapshot, at, &mut found.points)?;
    }
    let live = snapshot.live_count();
    if live != found.points.len() as u64 {
        return Err(format!(
            "{live} live rows, but {} points",
            found.points.len()
        ));
    }
    if status.points != live {
        return Err(format!(
            "status says {} points, there are {live}",
            status.points
        ));
    }
    Ok(found)
}

fn source(
    snapshot: &Snapshot,
    at: usize,
    points: &mut BTreeMap<PointId, Point>,
) -> Result<(), String> {
    let source = &snapshot.sources()[at];
    let failed = |error: engine::Error| format!("source {at}: {}", error.chain());
    let (mut payloads, mut hits) = (source.payloads(), source.hit_payloads());
    let mut last = None;
    for entry in source.ids_from(None) {
        let (id, row) = entry.map_err(failed)?;
        if last.is_some_and(|last| last >= id) {
            return Err(format!("source {at}: {id} comes after {last:?}"));
        }
        last = Some(id);
        if snapshot.find(id).map_err(failed)? != Some((at, row)) {
            return Err(format!("source {at}: {id} is not found where it is"));
        }
        let mut vectors: [Option<Vec<u8>>; VECTORS] = Default::default();
        for (index, vector) in vectors.iter_mut().enumerate() {
            *vector = source
                .vector(index, row)
                .map_err(failed)?
                .map(|bytes| bytes.to_vec());
        }
        let payload = payloads.get(row).map_err(failed)?;
        if hits.get(row).map_err(failed)? != payload {
            return Err(format!("source {at}: a hit has another payload of {id}"));
        }
        let payload =
            decoded(payload).map_err(|why| format!("source {at}: payload of {id}: {why}"))?;
        if points.insert(id, Point { vectors, payload }).is_some() {
            return Err(format!("{id} is live in two sources"));
        }
    }
    Ok(())
}

fn decoded(bytes: &[u8]) -> Result<BTreeMap<String, Value>, String> {
    match sorted(Value::decode(bytes).map_err(|error| error.to_string())?) {
        Value::Object(entries) => Ok(entries.into_iter().collect()),
        other => Err(format!("not an object: {other:?}")),
    }
}

/// Asks the query layer how many points pass each of some tests: with indexes and without, the
/// answer is the oracle's.
///
/// # Errors
/// Which count is wrong.
pub fn check_counts(db: &Db, world: &World) -> Result<(), String> {
    for collection in db.collections() {
        let Some(contents) = world.collections.get(collection.name()) else {
            continue;
        };
        let snapshot = collection.snapshot();
        for test in tests() {
            let passing = contents
                .points
                .iter()
                .filter(|(id, point)| test.passes(**id, point));
            let want = passing.count() as u64;
            let got = query::count(&snapshot, Some(&filter(&test)), true, &env())
                .map_err(|error| format!("count of {test:?}: {error}"))?;
            if got != want {
                return Err(format!(
                    "{}: {got} pass {test:?}, not {want}",
                    collection.name()
                ));
            }
        }
    }
    Ok(())
}

fn tests() -> Vec<Test> {
    let mut tests = vec![Test::NoCount, Test::CountFrom(3), Test::CountFrom(-3)];
    for color in ["red", "", "blue"] {
        tests.push(Test::ColorIs(color.to_owned()));
        tests.push(Test::ColorIsNot(color.to_owned()));
        tests.push(Test::Tagged(color.to_owned()));
    }
    tests
}
