//! Random workloads: what is done to a database, as values that can be printed and shrunk.

use std::collections::BTreeMap;

use format_spec::{PointId, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::{Point, Test, Who, Write};

/// Names of the collections.
pub const NAMES: [&str; 2] = ["first", "second"];

/// Paths that may be indexed, as keyword, integer and keyword.
pub const FIELDS: [&str; 3] = ["color", "count", "tags"];

/// Components of vector `a`.
pub const FLOATS: usize = 16;

const COLORS: [&str; 4] = ["red", "green", "blue", ""];

/// One thing done to a database.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// A request, atomic.
    Request(&'static str, Vec<Write>),
    /// The memtable is sealed and all background work becomes due.
    RunNow(&'static str),
    /// One background step that writes memtables or retires files.
    StepFlush,
    /// One background step that compacts.
    StepCompact,
    /// A collection is made; it may be there already.
    Create(&'static str),
    /// A collection is removed; it need not be there.
    Drop(&'static str),
    /// A payload index is made.
    Index(&'static str, &'static str),
    /// A payload index is dropped.
    Unindex(&'static str, &'static str),
    /// Closed and opened again.
    Reopen,
    /// Power is lost; the number chooses what was kept. Then opened again.
    PowerLoss(u64),
    /// The process dies; the caches survive. Then opened again.
    Kill,
}

/// Ids: numbers and UUIDs, few enough to meet again.
pub fn id(number: u8) -> PointId {
    if number.is_multiple_of(3) {
        PointId::Uuid(u128::from(number) << 120 | u128::from(number))
    } else {
        PointId::Number(u64::from(number))
    }
}

fn ids(most: usize) -> impl Strategy<Value = Vec<PointId>> {
    vec((0_u8..36).prop_map(id), 1..=most).prop_map(|mut ids| {
        ids.sort_unstable();
        ids.dedup();
        ids
    })
}

fn color() -> impl Strategy<Value = String> {
    select(&COLORS[..]).prop_map(str::to_owned)
}

/// Bytes of vector `a`: floats that are exact in any order of addition.
fn floats() -> impl Strategy<Value = Vec<u8>> {
    vec(-8_i8..8, FLOATS).prop_map(|values| {
        values
            .into_iter()
            .flat_map(|value| f32::from(value).to_le_bytes())
            .collect()
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 3)
}

fn payload() -> impl Strategy<Value = BTreeMap<String, Value>> {
    let entry = prop_oneof![
        4 => color().prop_map(|color| ("color", Value::Text(color))),
        3 => (-3_i64..10).prop_map(|count| ("count", Value::Int(count))),
        2 => vec(color().prop_map(Value::Text), 0..3).prop_map(|t| ("tags", Value::Array(t))),
        1 => Just(("count", Value::Null)),
        1 => (0_i64..3).prop_map(|n| {
            ("meta", Value::Object(vec![("n".into(), Value::Int(n))]))
        }),
        // Longer than a sector, so that records and payload blocks are torn in the middle.
        1 => (400_usize..1_500).prop_map(|len| ("text", Value::Text("x".repeat(len)))),
    ];
    vec(entry, 0..4).prop_map(|entries| {
        entries
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v))
            .collect()
    })
}

fn point() -> impl Strategy<Value = Point> {
    (
        proptest::option::weighted(0.85, floats()),
        proptest::option::weighted(0.5, bytes()),
        payload(),
    )
        .prop_map(|(a, b, payload)| Point {
            vectors: [a, b],
            payload,
        })
}

fn points(most: usize) -> impl Strategy<Value = Vec<(PointId, Point)>> {
    vec(((0_u8..36).prop_map(id), point()), 1..=most)
}

fn test() -> impl Strategy<Value = Test> {
    prop_oneof![
        color().prop_map(Test::ColorIs),
        color().prop_map(Test::ColorIsNot),
        (-3_i64..10).prop_map(Test::CountFrom),
        color().prop_map(Test::Tagged),
        Just(Test::NoCount),
        ids(6).prop_map(Test::Is),
    ]
}

fn who() -> impl Strategy<Value = Who> {
    // Ids are drawn blindly, so long lists nearly always have an absent one: keep them short.
    prop_oneof![ids(2).prop_map(Who::Ids), test().prop_map(Who::Where)]
}

fn write() -> impl Strategy<Value = Write> {
    let key = select(&["color", "count", "meta", "text"][..]).prop_map(str::to_owned);
    prop_oneof![
        8 => points(12).prop_map(|points| Write::Upsert(points, None)),
        1 => (distinct(points(6)), test()).prop_map(|(p, test)| Write::Upsert(p, Some(test))),
        1 => distinct(points(6)).prop_map(Write::Insert),
        2 => ids(6).prop_map(|ids| Write::Delete(Who::Ids(ids))),
        1 => test().prop_map(|test| Write::Delete(Who::Where(test))),
        3 => (who(), payload()).prop_map(|(who, payload)| Write::Set(who, payload)),
        1 => (who(), payload()).prop_map(|(who, payload)| Write::SetMeta(who, payload)),
        1 => (who(), payload()).prop_map(|(who, payload)| Write::Overwrite(who, payload)),
        1 => (who(), key).prop_map(|(who, key)| Write::Unset(who, key)),
        1 => who().prop_map(Write::Clear),
        1 => (ids(2), floats()).prop_map(|(ids, bytes)| Write::SetVector(ids, 0, bytes)),
        1 => (ids(2), bytes()).prop_map(|(ids, bytes)| Write::SetVector(ids, 1, bytes)),
        1 => (who(), 0..2_usize).prop_map(|(who, vector)| Write::UnsetVector(who, vector)),
    ]
}

/// No id twice: what conditional writes do then is nobody's promise.
fn distinct(
    points: impl Strategy<Value = Vec<(PointId, Point)>>,
) -> impl Strategy<Value = Vec<(PointId, Point)>> {
    points.prop_map(|points| {
        points
            .into_iter()
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect()
    })
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(NAMES[0]), 1 => Just(NAMES[1])]
}

/// One action; with `crashes` the database may die and come back.
pub fn action(crashes: bool) -> impl Strategy<Value = Action> {
    // A weight of zero is not allowed, so without crashes their share goes to background steps.
    let or_step = move |crash| if crashes { crash } else { Action::StepFlush };
    prop_oneof![
        24 => (name(), vec(write(), 1..4))
            .prop_map(|(name, request)| Action::Request(name, request)),
        4 => name().prop_map(Action::RunNow),
        8 => Just(Action::StepFlush),
        8 => Just(Action::StepCompact),
        1 => select(&NAMES[..]).prop_map(Action::Create),
        1 => Just(Action::Drop(NAMES[1])),
        1 => (name(), select(&FIELDS[..])).prop_map(|(name, field)| Action::Index(name, field)),
        1 => (name(), select(&FIELDS[..])).prop_map(|(name, field)| Action::Unindex(name, field)),
        1 => Just(Action::Reopen),
        3 => any::<u64>().prop_map(move |seed| or_step(Action::PowerLoss(seed))),
        1 => Just(or_step(Action::Kill)),
    ]
}
