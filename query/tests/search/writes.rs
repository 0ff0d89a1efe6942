//! Resolved writes against a plain model: requests of several operations, each of which sees those
//! before it, over whatever is in memory, in segments, patched or dead.

use std::collections::BTreeMap;

use engine::UpsertRows;
use format_spec::{Metric, PointId, Schema, Value};
use proptest::prelude::*;
use query::{
    Condition, FieldPath, FieldTest, Filter, MatchValue, PayloadSelector, QueryError, Selector,
    UpdateMode, VectorSelector, WriteOp,
};

use crate::oracle;
use crate::world::{World, number, vector};

#[derive(Clone, Debug, PartialEq)]
struct Point {
    vectors: [Option<f32>; 2],
    payload: Value,
}

type Model = BTreeMap<PointId, Point>;

/// An operation, in a form that can be printed, applied to the model, and turned into a
/// [`WriteOp`].
#[derive(Clone, Debug)]
enum Op {
    Upsert(
        Vec<(u64, [Option<f32>; 2], Value)>,
        Option<Filter>,
        UpdateMode,
    ),
    Delete(Choice),
    Set(Value, Option<FieldPath>, Choice),
    Overwrite(Value, Choice),
    DeleteKeys(Vec<FieldPath>, Choice),
    Clear(Choice),
    UpdateVectors(Vec<(u64, [Option<f32>; 2])>, Option<Filter>),
    DeleteVectors(Vec<usize>, Choice),
}

#[derive(Clone, Debug)]
enum Choice {
    Ids(Vec<u64>),
    Filter(Filter),
}

const NAMES: [&str; 2] = ["", "image"];

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        prop::collection::vec(0u64..12, 0..4).prop_map(Choice::Ids),
        oracle::filter().prop_map(Choice::Filter),
    ]
}

fn vectors() -> impl Strategy<Value = [Option<f32>; 2]> {
    prop::array::uniform2(prop::option::of((1i32..9).prop_map(|n| n as f32)))
}

fn mode() -> impl Strategy<Value = UpdateMode> {
    prop::sample::select(vec![
        UpdateMode::Upsert,
        UpdateMode::InsertOnly,
        UpdateMode::UpdateOnly,
    ])
}

fn op() -> impl Strategy<Value = Op> {
    let points = prop::collection::vec((0u64..12, vectors(), oracle::payload()), 0..6);
    let given = prop::collection::vec((0u64..12, vectors()), 0..3);
    let maybe = || prop::option::weighted(0.3, oracle::filter());
    let key = prop::option::of(oracle::path());
    prop_oneof![
        5 => (points, maybe(), mode()).prop_map(|(p, filter, mode)| Op::Upsert(p, filter, mode)),
        1 => choice().prop_map(Op::Delete),
        3 => (oracle::payload(), key, choice()).prop_map(|(p, key, c)| Op::Set(p, key, c)),
        1 => (oracle::payload(), choice()).prop_map(|(p, c)| Op::Overwrite(p, c)),
        2 => (prop::collection::vec(oracle::path(), 0..3), choice())
            .prop_map(|(keys, c)| Op::DeleteKeys(keys, c)),
        1 => choice().prop_map(Op::Clear),
        2 => (given, maybe()).prop_map(|(given, filter)| Op::UpdateVectors(given, filter)),
        1 => (prop::collection::vec(0usize..2, 1..3), choice())
            .prop_map(|(names, c)| Op::DeleteVectors(names, c)),
    ]
}

fn empty() -> Value {
    Value::Object(Vec::new())
}

/// The chosen points, or the first id that does not exist.
fn chosen(model: &Model, choice: &Choice) -> Result<Vec<PointId>, PointId> {
    match choice {
        Choice::Ids(ids) => {
            let ids = ids.iter().map(|id| number(*id));
            ids.map(|id| {
                if model.contains_key(&id) {
                    Ok(id)
                } else {
                    Err(id)
                }
            })
            .collect()
        }
        Choice::Filter(filter) => Ok(matching(model, filter)),
    }
}

fn matching(model: &Model, filter: &Filter) -> Vec<PointId> {
    let matching = model.iter().filter(|(id, p)| holds(filter, **id, p));
    matching.map(|(id, _)| *id).collect()
}

fn holds(filter: &Filter, id: PointId, point: &Point) -> bool {
    let named = NAMES.iter().zip(&point.vectors);
    let vectors: Vec<&str> = named
        .filter(|(_, vector)| vector.is_some())
        .map(|(name, _)| *name)
        .collect();
    oracle::matches(filter, id, &vectors, &point.payload)
}

/// Applies an operation to the model, the plain way.
fn apply(model: &mut Model, op: &Op) -> Result<(), PointId> {
    match op {
        Op::Upsert(points, filter, mode) => {
            for (id, vectors, payload) in points {
                let id = number(*id);
                let exists = model.contains_key(&id);
                let writes = match mode {
                    UpdateMode::Upsert => true,
                    UpdateMode::InsertOnly => !exists,
                    UpdateMode::UpdateOnly => exists,
                };
                if writes && (!exists || passes(model, filter, id)) {
                    let (vectors, payload) = (*vectors, payload.clone());
                    model.insert(id, Point { vectors, payload });
                }
            }
        }
        Op::Delete(Choice::Ids(ids)) => {
            for id in ids {
                model.remove(&number(*id));
            }
        }
        Op::Delete(Choice::Filter(filter)) => {
            for id in matching(model, filter) {
                model.remove(&id);
            }
        }
        Op::Set(source, key, choice) => each(model, choice, |point| match key {
            None => plain::merge(&mut point.payload, source),
            Some(path) => plain::set(&mut point.payload, path.items(), source),
        })?,
        Op::Overwrite(payload, choice) => {
            each(model, choice, |point| point.payload = payload.clone())?;
        }
        Op::Clear(choice) => each(model, choice, |point| point.payload = empty())?,
        Op::DeleteKeys(keys, choice) => each(model, choice, |point| {
            for key in keys {
                plain::delete(&mut point.payload, key.items());
            }
        })?,
        Op::UpdateVectors(given, filter) => update_vectors(model, given, filter)?,
        Op::DeleteVectors(names, choice) => each(model, choice, |point| {
            for name in names {
                point.vectors[*name] = None;
            }
        })?,
    }
    Ok(())
}

fn passes(model: &Model, filter: &Option<Filter>, id: PointId) -> bool {
    let filter = filter.as_ref();
    filter.is_none_or(|filter| holds(filter, id, &model[&id]))
}

fn each(model: &mut Model, choice: &Choice, change: impl Fn(&mut Point)) -> Result<(), PointId> {
    for id in chosen(model, choice)? {
        change(model.get_mut(&id).unwrap());
    }
    Ok(())
}

fn update_vectors(
    model: &mut Model,
    given: &[(u64, [Option<f32>; 2])],
    filter: &Option<Filter>,
) -> Result<(), PointId> {
    for (id, vectors) in given {
        let id = number(*id);
        if !model.contains_key(&id) {
            return Err(id);
        }
        if passes(model, filter, id) {
            let point = model.get_mut(&id).unwrap();
            for (old, new) in point.vectors.iter_mut().zip(vectors) {
                *old = new.or(*old);
            }
        }
    }
    Ok(())
}

/// Payload changes by path, written as recursion over owned values.
mod plain {
    use super::{Value, empty};
    use query::filter::PathItem;

    fn without(value: &Value, key: &str) -> Vec<(String, Value)> {
        let Value::Object(members) = value else {
            return Vec::new();
        };
        members
            .iter()
            .filter(|(name, _)| name != key)
            .cloned()
            .collect()
    }

    /// Sets one key in its place, or at the end.
    fn with(value: &Value, key: &str, new: Value) -> Value {
        let Value::Object(members) = value else {
            return Value::Object(vec![(key.to_owned(), new)]);
        };
        let mut members = members.clone();
        match members.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = new,
            None => members.push((key.to_owned(), new)),
        }
        Value::Object(members)
    }

    pub(super) fn merge(target: &mut Value, source: &Value) {
        if !matches!(target, Value::Object(_)) {
            *target = empty();
        }
        let Value::Object(members) = source else {
            panic!("an object")
        };
        for (key, value) in members {
            *target = if *value == Value::Null {
                Value::Object(without(target, key))
            } else {
                with(target, key, value.clone())
            };
        }
    }

    pub(super) fn set(target: &mut Value, items: &[PathItem], source: &Value) {
        let Some((item, rest)) = items.split_first() else {
            return merge(target, source);
        };
        if let PathItem::Key(key) = item {
            let mut inner = target.get(key).cloned().unwrap_or_else(empty);
            set(&mut inner, rest, source);
            *target = with(target, key, inner);
            return;
        }
        let Value::Array(elements) = target else {
            *target = Value::Array(Vec::new());
            return;
        };
        for (at, element) in elements.iter_mut().enumerate() {
            if *item == PathItem::Every || *item == PathItem::Index(at) {
                set(element, rest, source);
            }
        }
    }

    pub(super) fn delete(target: &mut Value, items: &[PathItem]) {
        let (item, rest) = items.split_first().unwrap();
        if let PathItem::Key(key) = item {
            let Some(mut inner) = target.get(key).cloned() else {
                return;
            };
            if rest.is_empty() {
                *target = Value::Object(without(target, key));
            } else {
                delete(&mut inner, rest);
                *target = with(target, key, inner);
            }
            return;
        }
        let Value::Array(elements) = target else {
            return;
        };
        if rest.is_empty() {
            if *item == PathItem::Every {
                elements.clear();
            }
            return;
        }
        for (at, element) in elements.iter_mut().enumerate() {
            if *item == PathItem::Every || *item == PathItem::Index(at) {
                delete(element, rest);
            }
        }
    }
}

fn rows<'a>(
    schema: &Schema,
    points: impl Iterator<Item = (u64, &'a [Option<f32>; 2], Option<&'a Value>)>,
) -> UpsertRows {
    let mut rows = UpsertRows::new(schema);
    for (id, vectors, payload) in points {
        rows.begin(number(id));
        for (at, value) in vectors.iter().enumerate() {
            if let Some(value) = value {
                rows.vector(at, &[*value, 0.5]).unwrap();
            }
        }
        if let Some(payload) = payload {
            rows.payload(&payload.to_bytes());
        }
    }
    rows
}

fn write_op(schema: &Schema, op: &Op) -> WriteOp {
    let select = |choice: &Choice| match choice {
        Choice::Ids(ids) => Selector::Ids(ids.iter().map(|id| number(*id)).collect()),
        Choice::Filter(filter) => Selector::Filter(filter.clone()),
    };
    match op {
        Op::Upsert(points, filter, mode) => WriteOp::Upsert {
            rows: rows(schema, points.iter().map(|(id, v, p)| (*id, v, Some(p)))),
            update_filter: filter.clone(),
            mode: *mode,
        },
        Op::Delete(choice) => WriteOp::Delete(select(choice)),
        Op::Set(payload, key, choice) => WriteOp::SetPayload {
            payload: payload.clone(),
            select: select(choice),
            key: key.clone(),
        },
        Op::Overwrite(payload, choice) => WriteOp::OverwritePayload {
            payload: payload.clone(),
            select: select(choice),
        },
        Op::DeleteKeys(keys, choice) => WriteOp::DeletePayload {
            keys: keys.clone(),
            select: select(choice),
        },
        Op::Clear(choice) => WriteOp::ClearPayload(select(choice)),
        Op::UpdateVectors(given, filter) => WriteOp::UpdateVectors {
            rows: rows(schema, given.iter().map(|(id, v)| (*id, v, None))),
            update_filter: filter.clone(),
        },
        Op::DeleteVectors(names, choice) => WriteOp::DeleteVectors {
            names: names.iter().map(|at| NAMES[*at].to_owned()).collect(),
            select: select(choice),
        },
    }
}

/// Everything the collection holds.
fn stored(world: &World) -> Model {
    let request = query::ScrollRequest {
        offset: None,
        limit: 1_000,
        filter: None,
        with_payload: PayloadSelector::All(true),
        with_vector: VectorSelector::All(true),
    };
    let page = query::scroll(&world.snapshot(), &request, &world.env()).unwrap();
    let point = |record: query::Record| {
        let mut vectors = [None; 2];
        for (name, values) in record.vectors.unwrap() {
            vectors[usize::from(name == "image")] = Some(values[0]);
        }
        (
            record.id,
            Point {
                vectors,
                payload: record.payload.unwrap(),
            },
        )
    };
    page.points.into_iter().map(point).collect()
}

fn world() -> World {
    let vectors = NAMES.map(|name| vector(name, 2, Metric::Euclid)).to_vec();
    World::new(Schema {
        vectors,
        ..Schema::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn requests_do_what_the_model_does(
        requests in prop::collection::vec((prop::collection::vec(op(), 1..5), 0u8..4), 1..8),
    ) {
        let world = world();
        let schema = world.collection.schema();
        let mut model = Model::new();
        for (ops, upkeep) in requests {
            let mut after = model.clone();
            let expected = ops.iter().try_for_each(|op| apply(&mut after, op));
            let result = world.write(ops.iter().map(|op| write_op(&schema, op)).collect());
            match expected {
                Ok(()) => {
                    prop_assert!(result.is_ok(), "{result:?}");
                    model = after;
                }
                Err(absent) => {
                    let missed = match result {
                        Err(QueryError::PointNotFound { id }) => Some(id),
                        _ => None,
                    };
                    prop_assert_eq!(missed, Some(absent));
                }
            }
            prop_assert_eq!(&stored(&world), &model);
            match upkeep {
                0 => world.flush(),
                1 => world.settle(),
                _ => {}
            }
            prop_assert_eq!(&stored(&world), &model);
        }
    }
}

#[test]
fn a_request_that_fails_in_its_middle_changes_nothing() {
    let world = world();
    let schema = world.collection.schema();
    let upsert = || WriteOp::Upsert {
        rows: rows(&schema, [(1, &[Some(1.0), None], None)].into_iter()),
        update_filter: None,
        mode: UpdateMode::Upsert,
    };
    let clear = |id| WriteOp::ClearPayload(Selector::Ids(vec![number(id)]));
    let error = world.write(vec![upsert(), clear(1), clear(2)]).unwrap_err();
    assert_eq!(error.to_string(), "no point with id 2 found");
    assert!(stored(&world).is_empty());
    world.write(vec![upsert(), clear(1)]).unwrap();
    assert_eq!(stored(&world).len(), 1);
}

#[test]
fn unknown_vectors_and_payloads_that_are_no_objects_are_refused() {
    let world = world();
    let select = || Selector::Filter(Filter::default());
    let names = vec!["sound".to_owned()];
    let error = world
        .write(vec![WriteOp::DeleteVectors {
            names,
            select: select(),
        }])
        .unwrap_err();
    assert!(matches!(error, QueryError::UnknownVector { .. }));
    let payload = Value::Int(1);
    let error = world
        .write(vec![WriteOp::OverwritePayload {
            payload,
            select: select(),
        }])
        .unwrap_err();
    assert!(matches!(error, QueryError::Invalid { .. }));
}

#[test]
fn payloads_keep_the_order_of_their_keys() {
    let world = world();
    let schema = world.collection.schema();
    let mut points = UpsertRows::new(&schema);
    points.begin(number(1));
    let keys = ["z", "a", "m"];
    let members = |keys: &[&str]| {
        Value::Object(
            keys.iter()
                .map(|key| ((*key).to_owned(), Value::Int(1)))
                .collect(),
        )
    };
    points.payload(&members(&keys).to_bytes());
    world.upsert(points);
    let select = Selector::Ids(vec![number(1)]);
    let payload = members(&["b", "a"]);
    world
        .write(vec![WriteOp::SetPayload {
            payload,
            select,
            key: None,
        }])
        .unwrap();
    assert_eq!(
        stored(&world)[&number(1)].payload,
        members(&["z", "a", "m", "b"])
    );
}

#[test]
fn a_filter_in_a_later_operation_sees_earlier_ones() {
    let world = world();
    let schema = world.collection.schema();
    let mut points = UpsertRows::new(&schema);
    for id in 0..10 {
        points.begin(number(id));
        points.payload(&Value::Object(vec![("a".to_owned(), Value::Int(0))]).to_bytes());
    }
    let (update_filter, mode) = (None, UpdateMode::Upsert);
    let one = Value::Object(vec![("a".to_owned(), Value::Int(1))]);
    let is_one = Condition::Field {
        path: FieldPath::parse("a").unwrap(),
        test: FieldTest::Match(MatchValue::Integer(1)),
    };
    let ops = vec![
        WriteOp::Upsert {
            rows: points,
            update_filter,
            mode,
        },
        WriteOp::SetPayload {
            payload: one,
            select: Selector::Ids(vec![number(3), number(4)]),
            key: None,
        },
        WriteOp::Delete(Selector::Filter(Filter {
            must: vec![is_one],
            ..Filter::default()
        })),
    ];
    world.write(ops).unwrap();
    let left: Vec<PointId> = stored(&world).into_keys().collect();
    assert_eq!(left, [0, 1, 2, 5, 6, 7, 8, 9].map(number));
}
