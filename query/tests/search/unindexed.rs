//! Filters on fields without an index: what they leave in memory is bounded, is used, and never
//! outlives what it was made of.

use engine::UpsertRows;
use format_spec::{FieldType, PointId, Schema, Value};
use query::{
    AnyOf, Condition, Env, FieldPath, FieldTest, Filter, Later, MatchValue, Selector, WriteOp,
};

use crate::world::{World, number};

const ROWS: u64 = 4_000;
/// Numbers that are not in the order of the rows.
const STEP: u64 = 1_237;

fn payload(row: u64) -> Value {
    let member = |key: &str, value| (key.to_owned(), value);
    Value::Object(vec![
        member("n", Value::Int((row * STEP % ROWS).cast_signed())),
        member("word", Value::Text(format!("w{}", row * STEP % 97))),
        member("filler", Value::Text("x".repeat(100))),
        member("odd", Value::Bool(row % 2 == 1)),
        member(
            "place",
            Value::Object(vec![
                (
                    "lon".to_owned(),
                    Value::Int((row * STEP % 100).cast_signed()),
                ),
                ("lat".to_owned(), Value::Int(0)),
            ]),
        ),
    ])
}

fn fill(world: &World, ids: std::ops::Range<u64>) {
    write(world, ids);
    world.flush();
}

fn write(world: &World, ids: std::ops::Range<u64>) {
    let mut rows = UpsertRows::new(&world.collection.schema());
    for id in ids {
        rows.begin(number(id));
        rows.payload(&payload(id).to_bytes());
    }
    world.upsert(rows);
}

fn only(path: &str, test: FieldTest) -> Filter {
    let path = FieldPath::parse(path).unwrap();
    Filter {
        must: vec![Condition::Field { path, test }],
        ..Filter::default()
    }
}

fn below(most: u64) -> Filter {
    let test = FieldTest::Range {
        gt: None,
        gte: None,
        lt: Some(most as f64),
        lte: None,
    };
    only("n", test)
}

fn word(nth: u64) -> Filter {
    only(
        "word",
        FieldTest::Match(MatchValue::Keyword(format!("w{nth}"))),
    )
}

fn count(world: &World, filter: &Filter) -> u64 {
    query::count(&world.snapshot(), Some(filter), true, &world.env()).unwrap()
}

fn has(world: &World, path: &str, field_type: FieldType) -> bool {
    let snapshot = world.snapshot();
    let mut sources = snapshot.sources().iter();
    sources.all(|source| {
        let columns = source.derived().unwrap();
        columns.get(path, field_type).is_some()
    })
}

fn bytes(world: &World) -> u64 {
    world.collection.counters().derived_bytes
}

#[test]
fn the_first_filter_leaves_a_column_and_the_next_ones_use_it() {
    let world = World::new(Schema::default());
    fill(&world, 0..ROWS);
    assert_eq!(count(&world, &below(40)), 40);
    assert!(has(&world, "n", FieldType::Integer), "whole numbers only");
    let (before, expected) = (bytes(&world), ROWS * 12);
    assert!(
        (expected..expected * 3 / 2 + 40_000).contains(&before),
        "{before}"
    );
    for most in [0, 1, 17, 399, ROWS] {
        assert_eq!(count(&world, &below(most)), most);
    }
    assert_eq!(bytes(&world), before);
    // A word in a block is seldom another, so few blocks are read until it comes to a scan.
    let expected = |nth| (0..ROWS).filter(|row| row * STEP % 97 == nth).count() as u64;
    for nth in 0..97 {
        assert_eq!(count(&world, &word(nth)), expected(nth));
    }
    assert!(has(&world, "word", FieldType::Keyword));
    let odd = only("odd", FieldTest::Match(MatchValue::Bool(true)));
    assert_eq!(count(&world, &odd), ROWS / 2);
    assert!(has(&world, "odd", FieldType::Bool));
    let near = FieldTest::GeoRadius {
        center: query::filter::GeoPoint { lon: 0.0, lat: 0.0 },
        radius: 500_000.0,
    };
    // A degree of longitude on the equator is 111 km.
    let within = (0..ROWS).filter(|row| row * STEP % 100 <= 4).count() as u64;
    for _ in 0..2 {
        assert_eq!(count(&world, &only("place", near.clone())), within);
    }
    assert!(has(&world, "place", FieldType::Geo));
    let both = Filter {
        must: below(100).must.into_iter().chain(odd.must).collect(),
        ..Filter::default()
    };
    let truth = |row: &u64| row * STEP % ROWS < 100 && row % 2 == 1;
    assert_eq!(count(&world, &both), (0..ROWS).filter(truth).count() as u64);
}

/// A memtable has no statistics and no columns of indexes: all its fields are as those without one.
#[test]
fn a_memtable_gets_columns_that_new_rows_are_added_to() {
    let index = format_spec::FieldIndex {
        path: "n".to_owned(),
        field_type: FieldType::Integer,
        settings: Value::Object(Vec::new()).to_bytes(),
    };
    let world = World::new(Schema {
        fields: vec![index],
        ..Schema::default()
    });
    let rows_of = |field_type| {
        let snapshot = world.snapshot();
        let columns = snapshot.sources()[0].derived().unwrap();
        columns
            .get("n", field_type)
            .map(|column| column.view().stats().rows)
    };
    write(&world, 0..ROWS);
    let older = world.snapshot();
    assert_eq!(count(&world, &below(40)), 40);
    assert_eq!(rows_of(FieldType::Float), Some(4_000));
    assert!(bytes(&world) > 0);
    for most in [0, 1, 17, 399, ROWS] {
        assert_eq!(count(&world, &below(most)), most);
    }
    // New rows, others written anew, one deleted: the column stays as it is.
    write(&world, ROWS..ROWS + 10);
    write(&world, 0..5);
    let gone = Selector::Ids(vec![number(ROWS + 1)]);
    world.write(vec![WriteOp::Delete(gone)]).unwrap();
    let values = (0..ROWS + 10).filter(|id| *id != ROWS + 1);
    let expected = |most: u64| values.clone().filter(|id| id * STEP % ROWS < most).count() as u64;
    for most in [0, 1, 17, 40, 399, ROWS] {
        assert_eq!(count(&world, &below(most)), expected(most));
        let not = Filter {
            must_not: below(most).must,
            ..Filter::default()
        };
        assert_eq!(count(&world, &not), expected(ROWS) - expected(most));
    }
    assert_eq!(rows_of(FieldType::Float), Some(4_000));
    // As many new ones as there were make a new column, which an older snapshot does not use.
    write(&world, 2 * ROWS..3 * ROWS);
    let more = (2 * ROWS..3 * ROWS)
        .filter(|id| id * STEP % ROWS < 40)
        .count() as u64;
    assert_eq!(count(&world, &below(40)), expected(40) + more);
    assert_eq!(rows_of(FieldType::Float), Some(8_015));
    assert_eq!(
        query::count(&older, Some(&below(40)), true, &world.env()).unwrap(),
        40
    );
    drop(older);
    world.flush();
    assert_eq!(bytes(&world), 0, "the columns go with the memtable");
    assert_eq!(count(&world, &below(40)), expected(40) + more);
}

#[test]
fn the_column_of_a_memtable_is_given_up_once_it_is_a_segment() {
    let world = World::new(Schema::default());
    write(&world, 0..ROWS);
    let later = Later::default();
    let env = Env {
        later: Some(&later),
        ..world.env()
    };
    let counted = || query::count(&world.snapshot(), Some(&below(40)), true, &env).unwrap();
    assert_eq!(counted(), 40);
    while later.step() {}
    assert!(has(&world, "n", FieldType::Float));
    query::count(&world.snapshot(), Some(&word(3)), true, &env).unwrap();
    assert!(later.step(), "in several pieces");
    world.flush();
    assert!(!later.step() && later.is_empty());
    assert_eq!((bytes(&world), counted()), (0, 40));
}

/// A request that can leave the column for later reads what it needs and no more.
#[test]
fn columns_left_for_later_are_made_piece_by_piece() {
    let world = World::new(Schema::default());
    fill(&world, 0..ROWS);
    let later = Later::default();
    let env = Env {
        later: Some(&later),
        ..world.env()
    };
    let counted = |filter: &Filter| query::count(&world.snapshot(), Some(filter), true, &env);
    assert_eq!(counted(&below(40)).unwrap(), 40);
    let odd = only("odd", FieldTest::Match(MatchValue::Bool(true)));
    for _ in 0..3 {
        assert_eq!(counted(&odd).unwrap(), ROWS / 2);
    }
    assert!(!has(&world, "n", FieldType::Integer) && !later.is_empty());
    // A write in between patches rows of the column that is being made.
    assert!(later.step(), "some rows at a time");
    let payload = Value::Object(vec![("n".to_owned(), Value::Int(7))]);
    let select = Selector::Ids(vec![number(1)]);
    world
        .write(vec![WriteOp::SetPayload {
            payload,
            select,
            key: None,
        }])
        .unwrap();
    while later.step() {}
    assert!(has(&world, "n", FieldType::Integer) && has(&world, "odd", FieldType::Bool));
    assert_eq!(counted(&below(40)).unwrap(), 41);
    assert_eq!(counted(&odd).unwrap(), ROWS / 2);
    assert!(later.is_empty(), "what is there is not made again");
}

/// A segment that is merged away is not read for a column that nobody will ask.
#[test]
fn columns_left_for_later_are_given_up_with_their_segment() {
    let world = World::new(Schema::default());
    fill(&world, 0..ROWS);
    fill(&world, ROWS..2 * ROWS);
    let later = Later::default();
    let env = Env {
        later: Some(&later),
        ..world.env()
    };
    let held = world.snapshot();
    let of_before = held.sources().len();
    let found = query::count(&held, Some(&below(40)), true, &env).unwrap();
    assert_eq!(found, 80);
    let dead = (0..2 * ROWS).step_by(2).map(number).collect();
    world
        .write(vec![WriteOp::Delete(Selector::Ids(dead))])
        .unwrap();
    world.settle();
    let newest = held
        .sources()
        .iter()
        .filter_map(engine::Source::segment_id)
        .max();
    for source in world.snapshot().sources() {
        assert!(source.segment_id() > newest, "written anew");
    }
    assert!(later.step(), "what a snapshot holds is read");
    drop(held);
    // Only the files that the manifest before this one names are kept.
    world.settle();
    let waiting = || world.collection.counters().retired_files;
    let with_work = waiting();
    let left = std::iter::from_fn(|| later.step().then_some(())).count();
    assert_eq!(
        (left, later.is_empty()),
        (of_before - 1, true),
        "a look at each"
    );
    world.settle();
    assert_eq!(waiting(), with_work, "what is left keeps no file");
    assert_eq!(bytes(&world), 0);
}

#[test]
fn what_statistics_rule_out_is_not_read_and_leaves_nothing() {
    let world = World::new(Schema::default());
    fill(&world, 0..ROWS);
    let any = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    for filter in [
        only("n", FieldTest::Match(MatchValue::Keyword("w1".into()))),
        only("missing", FieldTest::Any(AnyOf::Keywords(any(&["a", "b"])))),
        below(0),
        only("filler", FieldTest::IsEmpty(true)),
        only("word", FieldTest::IsNull(true)),
    ] {
        assert_eq!(count(&world, &filter), 0);
    }
    assert_eq!(
        count(&world, &only("filler", FieldTest::IsEmpty(false))),
        ROWS
    );
    assert_eq!(count(&world, &below(ROWS * 2)), ROWS);
    assert_eq!(bytes(&world), 0);
}

#[test]
fn patches_and_deaths_are_honoured_and_a_merge_begins_anew() {
    let world = World::new(Schema::default());
    fill(&world, 0..ROWS / 2);
    fill(&world, ROWS / 2..ROWS);
    assert_eq!(count(&world, &below(40)), 40);
    assert!(has(&world, "n", FieldType::Integer) && bytes(&world) > 0);
    let of_before = world.snapshot();
    let patched: Vec<PointId> = (0..ROWS)
        .filter(|row| row * STEP % ROWS < 10)
        .map(number)
        .collect();
    let payload = Value::Object(vec![("n".to_owned(), Value::Int(39))]);
    let select = Selector::Ids(patched);
    world
        .write(vec![WriteOp::OverwritePayload { payload, select }])
        .unwrap();
    let dead = (0..ROWS).filter(|row| (20..25).contains(&(row * STEP % ROWS)));
    let dead = Selector::Ids(dead.map(number).collect());
    world.write(vec![WriteOp::Delete(dead)]).unwrap();
    let patched = |world: &World| {
        let thirty_nine = only("n", FieldTest::Match(MatchValue::Integer(39)));
        assert_eq!(count(world, &below(40)), 35);
        assert_eq!(count(world, &below(39)), 24);
        assert_eq!(count(world, &thirty_nine), 11);
    };
    patched(&world);
    let before = query::count(&of_before, Some(&below(40)), true, &world.env()).unwrap();
    assert_eq!(before, 40, "a snapshot from before sees what was there");
    drop(of_before);
    // A flush writes patches and deaths, and the payloads stay.
    world.flush();
    assert!(has(&world, "n", FieldType::Integer));
    patched(&world);
    // A fold or merge writes the payloads anew, and the columns of the old ones go.
    world.settle();
    assert_eq!(bytes(&world), 0);
    patched(&world);
    assert!(has(&world, "n", FieldType::Integer));
    patched(&world);
}

#[test]
fn columns_stay_within_their_room() {
    let room = 220_000;
    let world = World::with_room(Schema::default(), room);
    fill(&world, 0..ROWS);
    let by_kind = |nth: u64| match nth % 4 {
        0 => only(
            "odd",
            FieldTest::Match(MatchValue::Bool(!nth.is_multiple_of(8))),
        ),
        1 => word(nth),
        2 => below(nth),
        _ => only(
            "filler",
            FieldTest::Except(AnyOf::Keywords(vec!["x".to_owned()])),
        ),
    };
    for nth in 0..400 {
        count(&world, &by_kind(nth));
        assert!(bytes(&world) <= room);
    }
    assert!(
        !has(&world, "filler", FieldType::Keyword),
        "too large for a part of the room"
    );
    let none = World::with_room(Schema::default(), 0);
    fill(&none, 0..ROWS);
    assert_eq!(count(&none, &below(40)), 40);
    assert_eq!(bytes(&none), 0);
}
