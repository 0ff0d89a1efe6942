//! Listings by a field, facets, groups and samples against a linear oracle: whatever is indexed,
//! patched, dead, sealed or still in memory, the answer is the same.

use std::collections::{BTreeMap, BTreeSet};

use engine::UpsertRows;
use format_spec::{FieldIndex, FieldType, Metric, PointId, Schema, Value};
use proptest::prelude::*;
use query::{
    Direction, FacetHit, FacetRequest, FacetValue, FieldPath, Filter, GroupKey, GroupsRequest,
    MatrixRequest, OrderBy, OrderValue, OrderedRequest, PayloadSelector, QueryError, QueryRequest,
    Record, SearchParams, Selector, Target, VectorSelector, WriteOp,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::filters::{Model, holds, run, step, world};
use crate::oracle;
use crate::world::{World, number, vector};

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

fn index(path: &str, field_type: FieldType) -> FieldIndex {
    FieldIndex {
        path: path.to_owned(),
        field_type,
        settings: Vec::new(),
    }
}

fn indexed(fields: &[(&str, FieldType)]) -> Vec<FieldIndex> {
    let fields = fields.iter().map(|(path, kind)| index(path, *kind));
    fields.collect()
}

/// The points that match, with their payloads, in id order.
fn matching<'m>(
    model: &'m Model,
    filter: Option<&'m Filter>,
) -> impl Iterator<Item = (PointId, &'m Value)> {
    let passes = move |(id, point): &(&PointId, &([bool; 2], Value))| {
        filter.is_none_or(|filter| holds(filter, **id, point))
    };
    let points = model.iter().filter(passes);
    points.map(|(id, (_, payload))| (*id, payload))
}

/// The values of a payload that an index of this type puts in an order.
fn order_values(payload: &Value, key: &FieldPath, kind: FieldType) -> Vec<OrderValue> {
    let values = oracle::flat(payload, key).into_iter();
    let mut values: Vec<OrderValue> = values
        .filter_map(|value| match (kind, value) {
            (FieldType::Integer, Value::Int(number)) => Some(OrderValue::Int(number)),
            (FieldType::Float, Value::Int(number)) => Some(OrderValue::Float(number as f64)),
            (FieldType::Float, Value::Uint(number)) => Some(OrderValue::Float(number as f64)),
            (FieldType::Float, Value::Float(number)) => OrderValue::float(number),
            (FieldType::Datetime, Value::Text(text)) => {
                query::filter::datetime::parse(&text).map(OrderValue::Int)
            }
            _ => None,
        })
        .collect();
    values.sort();
    values.dedup();
    values
}

/// The whole listing.
fn listing(
    model: &Model,
    order_by: &OrderBy,
    kind: FieldType,
    filter: Option<&Filter>,
) -> Vec<(OrderValue, PointId)> {
    let mut all = Vec::new();
    for (id, payload) in matching(model, filter) {
        let values = order_values(payload, &order_by.path, kind);
        all.extend(values.into_iter().map(|value| (value, id)));
    }
    let descending = order_by.direction == Direction::Descending;
    if let Some(start) = order_by.start_from {
        all.retain(|(value, _)| {
            if descending {
                *value <= start
            } else {
                *value >= start
            }
        });
    }
    all.sort_by(|a, b| {
        let by_value = a.0.cmp(&b.0);
        let by_value = if descending {
            by_value.reverse()
        } else {
            by_value
        };
        by_value.then(a.1.cmp(&b.1))
    });
    all
}

fn entries(points: &[Record]) -> Vec<(OrderValue, PointId)> {
    let entry = |record: &Record| (record.order_value.unwrap(), record.id);
    points.iter().map(entry).collect()
}

/// All pages of a listing, and how many there were.
fn pages(world: &World, mut request: OrderedRequest) -> (Vec<(OrderValue, PointId)>, usize) {
    let (mut all, mut pages) = (Vec::new(), 0);
    loop {
        let page = query::ordered(&world.snapshot(), &request, &world.env()).unwrap();
        assert!(page.points.len() <= request.limit);
        all.extend(entries(&page.points));
        pages += 1;
        match page.next {
            Some(next) => {
                assert_eq!(page.points.len(), request.limit);
                request.order_by = next;
            }
            None => return (all, pages),
        }
    }
}

fn ordered_request(order_by: OrderBy, limit: usize, filter: Option<Filter>) -> OrderedRequest {
    OrderedRequest {
        order_by,
        limit,
        filter,
        with_payload: PayloadSelector::All(true),
        with_vector: VectorSelector::All(false),
    }
}

fn direction() -> impl Strategy<Value = Direction> {
    prop::sample::select(vec![Direction::Ascending, Direction::Descending])
}

fn start() -> impl Strategy<Value = Option<OrderValue>> {
    prop_oneof![
        2 => Just(None),
        2 => (-2i64..4).prop_map(|number| Some(OrderValue::Int(number))),
        2 => (-4i32..8).prop_map(|halves| OrderValue::float(f64::from(halves) / 2.0)),
        1 => prop::sample::select(vec![-1e19, 1e19]).prop_map(OrderValue::float),
    ]
}

/// A UUID of digits, with hyphens or without.
fn uuid_of(text: &str) -> Option<u128> {
    let digits = text.replace('-', "");
    let uuid = u128::from_str_radix(&digits, 16).ok();
    uuid.filter(|_| digits.len() == 32)
}

fn facets(
    model: &Model,
    key: &FieldPath,
    kind: FieldType,
    filter: Option<&Filter>,
) -> Vec<FacetHit> {
    let mut counts: BTreeMap<FacetValue, u64> = BTreeMap::new();
    for (_, payload) in matching(model, filter) {
        let values = oracle::flat(payload, key).into_iter();
        let values: BTreeSet<FacetValue> = values
            .filter_map(|value| match (kind, value) {
                (FieldType::Keyword, Value::Text(text)) => Some(FacetValue::Text(text)),
                (FieldType::Integer, Value::Int(number)) => Some(FacetValue::Int(number)),
                (FieldType::Bool, Value::Bool(value)) => Some(FacetValue::Bool(value)),
                (FieldType::Uuid, Value::Text(text)) => uuid_of(&text).map(FacetValue::Uuid),
                _ => None,
            })
            .collect();
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
    }
    let mut hits: Vec<FacetHit> = counts
        .into_iter()
        .map(|(value, count)| FacetHit { value, count })
        .collect();
    hits.sort_by(|a, b| b.count.cmp(&a.count).then(a.value.cmp(&b.value)));
    hits
}

/// The groups of a payload; none at all if it has a value that makes none.
fn group_keys(payload: &Value, key: &FieldPath) -> BTreeSet<GroupKey> {
    let keys: Option<BTreeSet<GroupKey>> = oracle::flat(payload, key)
        .into_iter()
        .map(|value| match value {
            Value::Int(number) => Some(GroupKey::Int(number)),
            Value::Uint(number) => Some(GroupKey::Uint(number)),
            Value::Text(text) => Some(GroupKey::Text(text)),
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::Array(_) | Value::Object(_) => {
                None
            }
        })
        .collect();
    keys.unwrap_or_default()
}

/// The groups of a ranking of all points.
fn grouped(
    ranking: &[PointId],
    payload_of: impl Fn(PointId) -> Value,
    key: &FieldPath,
    (limit, size): (usize, usize),
) -> Vec<(GroupKey, Vec<PointId>)> {
    let mut groups: Vec<(GroupKey, Vec<PointId>)> = Vec::new();
    for id in ranking {
        for key in group_keys(&payload_of(*id), key) {
            let at = groups.iter().position(|(known, _)| *known == key);
            let at = at.unwrap_or_else(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            if groups[at].1.len() < size {
                groups[at].1.push(*id);
            }
        }
    }
    groups.truncate(limit);
    groups
}

fn groups_of(world: &World, request: &GroupsRequest) -> Vec<(GroupKey, Vec<PointId>)> {
    let groups = query::groups(&world.snapshot(), request, &world.env()).unwrap();
    groups
        .into_iter()
        .map(|group| {
            (
                group.key,
                group.hits.iter().map(|hit| hit.record.id).collect(),
            )
        })
        .collect()
}

fn search_request(target: Option<Target>, filter: Option<Filter>, limit: usize) -> QueryRequest {
    QueryRequest {
        target,
        using: String::new(),
        filter,
        params: SearchParams {
            exact: true,
            ..SearchParams::default()
        },
        score_threshold: None,
        limit,
        offset: 0,
        with_payload: PayloadSelector::All(false),
        with_vector: VectorSelector::All(false),
    }
}

const ORDER_KINDS: [FieldType; 3] = [FieldType::Integer, FieldType::Float, FieldType::Datetime];
const FACET_KINDS: [FieldType; 4] = [
    FieldType::Keyword,
    FieldType::Integer,
    FieldType::Bool,
    FieldType::Uuid,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn pages_by_a_field_are_the_oracles_and_lose_nothing(
        key in oracle::path(),
        kind in prop::sample::select(ORDER_KINDS.to_vec()),
        steps in prop::collection::vec(step(), 1..10),
        filters in prop::collection::vec(prop::option::of(oracle::filter()), 1..5),
        (direction, start_from) in (direction(), start()),
        limit in 1usize..9,
    ) {
        let world = world(indexed(&[(&key.to_string(), kind)]));
        let mut model = Model::new();
        run(&world, steps, &mut model);
        for filter in filters {
            let order_by = OrderBy { path: key.clone(), direction, start_from, after: None };
            let truth = listing(&model, &order_by, kind, filter.as_ref());
            let request = ordered_request(order_by.clone(), limit, filter.clone());
            let (all, count) = pages(&world, request);
            prop_assert_eq!(&all, &truth);
            prop_assert_eq!(count, truth.len().div_ceil(limit).max(1));

            let target = Some(Target::OrderBy(order_by));
            let mut request = search_request(target, filter, limit);
            request.offset = 2;
            let hits = query::search(&world.snapshot(), &request, &world.env()).unwrap();
            let got: Vec<_> = hits
                .iter()
                .map(|hit| (hit.record.order_value.unwrap(), hit.record.id))
                .collect();
            let page: Vec<_> = truth.iter().copied().skip(2).take(limit).collect();
            prop_assert_eq!(got, page);
            prop_assert!(hits.iter().all(|h| h.score == 1.0 && h.record.version.0 == 0));
        }
    }

    #[test]
    fn facets_are_the_oracles(
        key in oracle::path(),
        kind in prop::sample::select(FACET_KINDS.to_vec()),
        steps in prop::collection::vec(step(), 1..10),
        filters in prop::collection::vec(prop::option::of(oracle::filter()), 1..5),
        limit in 1usize..6,
    ) {
        let world = world(indexed(&[(&key.to_string(), kind)]));
        let mut model = Model::new();
        run(&world, steps, &mut model);
        for filter in filters {
            let mut truth = facets(&model, &key, kind, filter.as_ref());
            truth.truncate(limit);
            let request = FacetRequest { path: key.clone(), limit, filter };
            let hits = query::facet(&world.snapshot(), &request, &world.env()).unwrap();
            prop_assert_eq!(hits, truth);
        }
    }

    #[test]
    fn groups_of_a_listing_are_the_oracles(
        key in oracle::path(),
        kind in prop::option::of(prop::sample::select(FACET_KINDS.to_vec())),
        steps in prop::collection::vec(step(), 1..10),
        filters in prop::collection::vec(prop::option::of(oracle::filter()), 1..4),
        (limit, group_size) in (1usize..5, 1usize..4),
    ) {
        let name = key.to_string();
        let fields: Vec<_> = kind.into_iter().map(|kind| (name.as_str(), kind)).collect();
        let world = world(indexed(&fields));
        let mut model = Model::new();
        run(&world, steps, &mut model);
        for filter in filters {
            let found = matching(&model, filter.as_ref());
            let ranking: Vec<PointId> = found.map(|(id, _)| id).collect();
            let truth =
                grouped(&ranking, |id| model[&id].1.clone(), &key, (limit, group_size));
            let request = GroupsRequest {
                query: search_request(None, filter, limit),
                group_by: key.clone(),
                group_size,
            };
            prop_assert_eq!(groups_of(&world, &request), truth);
        }
    }

    #[test]
    fn a_sample_is_of_the_matching_points_and_follows_its_seed(
        steps in prop::collection::vec(step(), 1..10),
        filters in prop::collection::vec(prop::option::of(oracle::filter()), 1..5),
        limit in 1usize..12,
        seed in any::<u64>(),
    ) {
        let world = world(indexed(&[("a", FieldType::Integer)]));
        let mut model = Model::new();
        run(&world, steps, &mut model);
        for filter in filters {
            let matching: BTreeSet<PointId> =
                matching(&model, filter.as_ref()).map(|(id, _)| id).collect();
            let request = search_request(Some(Target::Random { seed }), filter, limit);
            let draw = || {
                let hits = query::search(&world.snapshot(), &request, &world.env()).unwrap();
                hits.into_iter().map(|hit| hit.record.id).collect::<Vec<_>>()
            };
            let drawn = draw();
            prop_assert_eq!(&drawn, &draw());
            let different: BTreeSet<PointId> = drawn.iter().copied().collect();
            prop_assert_eq!(different.len(), limit.min(matching.len()));
            prop_assert_eq!(drawn.len(), different.len());
            prop_assert!(different.is_subset(&matching));
        }
    }
}

/// Points in several segments, some patched, some dead, some in memory: `n` is an integer with many
/// repetitions or a list of two, `unique` is one of a kind, `group` is one of `groups`, the first
/// of which has most points.
fn spread_world(seed: u64, count: u64, groups: u64) -> (World, Model) {
    let mut schema = Schema {
        fields: indexed(&[
            ("n", FieldType::Integer),
            ("unique", FieldType::Integer),
            ("group", FieldType::Keyword),
        ]),
        vectors: vec![vector("", 4, Metric::Euclid)],
        ..Schema::default()
    };
    schema.compaction.indexing_threshold_kb = 1;
    let world = World::new(schema);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut model = BTreeMap::new();
    let payload = |rng: &mut SmallRng, id: u64| {
        let n = Value::Int(rng.random_range(0..12));
        let n = match rng.random_range(0..10) {
            0 => Value::Array(vec![n, Value::Int(rng.random_range(0..12))]),
            1 => Value::Text("none".to_owned()),
            _ => n,
        };
        let group = match rng.random_range(0..10) {
            0..7 => 0,
            _ => rng.random_range(0..groups),
        };
        Value::Object(vec![
            ("n".to_owned(), n),
            (
                "unique".to_owned(),
                Value::Int((id * 7_919 % 100_003) as i64),
            ),
            ("group".to_owned(), Value::Text(format!("g{group}"))),
        ])
    };
    let step = count / 4;
    for part in 0..4 {
        let mut rows = UpsertRows::new(&world.collection.schema());
        for id in part * step..(part + 1) * step {
            // Rows and ids disagree.
            let id = id * 7_919 % 1_000_003;
            rows.begin(number(id));
            let near = if rng.random_bool(0.5) { 0.0 } else { 5.0 };
            let values: Vec<f32> = (0..4).map(|_| near + rng.random::<f32>()).collect();
            rows.vector(0, &values).unwrap();
            let payload = payload(&mut rng, id);
            rows.payload(&payload.to_bytes());
            model.insert(number(id), ([true, false], payload));
        }
        world.upsert(rows);
        match part {
            0 => world.settle(),
            1 | 2 => world.flush(),
            _ => {}
        }
    }
    let ids: Vec<PointId> = model.keys().copied().collect();
    for chunk in ids.chunks(50) {
        let dead = chunk[rng.random_range(0..chunk.len())];
        model.remove(&dead);
        let select = Selector::Ids(vec![dead]);
        world.write(vec![WriteOp::Delete(select)]).unwrap();
        let patched = chunk[rng.random_range(0..chunk.len())];
        if let Some(known) = model.get_mut(&patched) {
            let payload = payload(&mut rng, 1);
            known.1 = payload.clone();
            let select = Selector::Ids(vec![patched]);
            let write = WriteOp::OverwritePayload { payload, select };
            world.write(vec![write]).unwrap();
        }
    }
    assert!(world.snapshot().sources().len() > 2);
    (world, model)
}

#[test]
fn pages_over_many_equal_values_in_several_segments_lose_nothing() {
    let seed = 11;
    println!("seed {seed}");
    let (world, model) = spread_world(seed, 4_000, 40);
    let mut compared = 0;
    for (key, limit) in [("n", 7), ("n", 500), ("unique", 100), ("unique", 5_000)] {
        for direction in [Direction::Ascending, Direction::Descending] {
            for start_from in [None, Some(OrderValue::Int(6)), OrderValue::float(5.5)] {
                let order_by = OrderBy {
                    path: path(key),
                    direction,
                    start_from,
                    after: None,
                };
                let truth = listing(&model, &order_by, FieldType::Integer, None);
                let (all, _) = pages(&world, ordered_request(order_by, limit, None));
                assert_eq!(all, truth, "{key} {direction:?} {start_from:?}");
                compared += all.len();
            }
        }
    }
    assert!(compared > 50_000, "{compared}");
}

#[test]
fn groups_are_full_whenever_there_are_enough_points() {
    let seed = 12;
    println!("seed {seed}");
    let (world, model) = spread_world(seed, 4_000, 40);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut compared = 0;
    for key in ["group", "n", "unique"] {
        for (limit, group_size) in [(1, 1), (5, 3), (40, 2), (3, 200), (60, 10)] {
            let query: Vec<f32> = (0..4).map(|_| rng.random::<f32>()).collect();
            let target = Some(Target::Vector(query));
            let mut whole = search_request(target, None, model.len());
            let hits = query::search(&world.snapshot(), &whole, &world.env()).unwrap();
            assert_eq!(hits.len(), model.len());
            for threshold_at in [None, Some(300)] {
                whole.limit = limit;
                whole.score_threshold = threshold_at.map(|at: usize| hits[at].score);
                let below = |score: f32| whole.score_threshold.is_none_or(|most| score < most);
                let kept = hits.iter().filter(|hit| below(hit.score));
                let ranking: Vec<PointId> = kept.map(|hit| hit.record.id).collect();
                let shape = (limit, group_size);
                let truth = grouped(&ranking, |id| model[&id].1.clone(), &path(key), shape);
                let request = GroupsRequest {
                    query: whole.clone(),
                    group_by: path(key),
                    group_size,
                };
                assert_eq!(groups_of(&world, &request), truth, "{key} {shape:?}");
                compared += truth.iter().map(|(_, hits)| hits.len()).sum::<usize>();
            }
        }
    }
    assert!(compared > 1_000, "{compared}");
}

#[test]
fn a_uuid_is_one_value_however_it_is_spelt_and_wherever_it_lies() {
    let world = world(indexed(&[("u", FieldType::Uuid)]));
    let spellings = [
        "550e8400-e29b-41d4-a716-446655440000",
        "550E8400E29B41D4A716446655440000",
        "650e8400-e29b-41d4-a716-446655440000",
        "no uuid",
    ];
    let payload = |text: &str| {
        let value = Value::Text(text.to_owned());
        Value::Object(vec![("u".to_owned(), value)])
    };
    let write = |ids: std::ops::Range<u64>| {
        let mut rows = UpsertRows::new(&world.collection.schema());
        for id in ids {
            rows.begin(number(id));
            let text = spellings[(id % 4) as usize];
            rows.payload(&payload(text).to_bytes());
        }
        world.upsert(rows);
    };
    write(0..4_000);
    world.settle();
    write(4_000..4_040);
    let select = Selector::Ids((0..20).map(number).collect());
    let payload = payload(spellings[2]);
    let overwrite = WriteOp::OverwritePayload { payload, select };
    world.write(vec![overwrite]).unwrap();
    let count = |text: &str, count| FacetHit {
        value: FacetValue::Uuid(uuid_of(text).unwrap()),
        count,
    };
    let request = FacetRequest {
        path: path("u"),
        limit: 10,
        filter: None,
    };
    let hits = query::facet(&world.snapshot(), &request, &world.env()).unwrap();
    let expected = [count(spellings[0], 2_010), count(spellings[2], 1_025)];
    assert_eq!(hits, expected);
}

#[test]
fn the_matrix_of_a_sample_is_that_of_all_its_pairs() {
    let (world, model) = spread_world(13, 800, 10);
    let request = MatrixRequest {
        using: String::new(),
        filter: None,
        sample: 50,
        limit: 4,
        seed: 3,
    };
    let snapshot = world.snapshot();
    let matrix = query::matrix(&snapshot, &request, &world.env()).unwrap();
    assert_eq!((matrix.ids.len(), matrix.nearest.len()), (50, 50));
    assert!(matrix.ids.is_sorted() && matrix.ids.iter().all(|id| model.contains_key(id)));
    for (at, nearest) in matrix.nearest.iter().enumerate() {
        let has_id = query::Condition::HasId(matrix.ids.clone());
        let filter = Filter {
            must: vec![has_id],
            ..Filter::default()
        };
        let target = Some(Target::Point(matrix.ids[at]));
        let request = search_request(target, Some(filter), 4);
        let hits = query::search(&snapshot, &request, &world.env()).unwrap();
        let truth: Vec<(PointId, f32)> = hits.iter().map(|h| (h.record.id, h.score)).collect();
        let found: Vec<(PointId, f32)> = nearest
            .iter()
            .map(|(other, score)| (matrix.ids[*other], *score))
            .collect();
        assert_eq!(found, truth);
    }
    let one = MatrixRequest {
        filter: Some(Filter {
            must: vec![query::Condition::HasId(vec![matrix.ids[0]])],
            ..Filter::default()
        }),
        ..request
    };
    let none = query::matrix(&snapshot, &one, &world.env()).unwrap();
    assert_eq!(none, query::Matrix::default());
}

#[test]
fn a_rough_count_is_within_what_columns_and_payloads_allow() {
    let (world, model) = spread_world(14, 4_000, 40);
    let snapshot = world.snapshot();
    for (key, below) in [
        ("n", 3.0),
        ("n", 11.0),
        ("unique", 50_000.0),
        ("unique", 10.0),
    ] {
        let test = query::FieldTest::Range {
            gt: None,
            gte: None,
            lt: Some(below),
            lte: None,
        };
        let filter = Filter {
            must: vec![query::Condition::Field {
                path: path(key),
                test,
            }],
            ..Filter::default()
        };
        let exact = query::count(&snapshot, Some(&filter), true, &world.env()).unwrap();
        let rough = query::count(&snapshot, Some(&filter), false, &world.env()).unwrap();
        let truth = matching(&model, Some(&filter)).count();
        assert_eq!(exact, truth as u64);
        // Only patched rows, strangers and the memtable are left to the sample.
        assert!(
            rough.abs_diff(exact) <= exact / 5 + 40,
            "{key}: {rough} for {exact}"
        );
        assert!(rough <= model.len() as u64);
    }
}

#[test]
fn fields_without_the_index_that_is_needed_are_refused_by_name() {
    let world = world(indexed(&[
        ("k", FieldType::Keyword),
        ("f", FieldType::Float),
    ]));
    let snapshot = world.snapshot();
    for key in ["k", "absent"] {
        let order_by = OrderBy {
            path: path(key),
            direction: Direction::Ascending,
            start_from: None,
            after: None,
        };
        let request = ordered_request(order_by, 1, None);
        let error = query::ordered(&snapshot, &request, &world.env()).unwrap_err();
        assert!(matches!(error, QueryError::NoRangeIndex { key: named } if named == key));
    }
    for key in ["f", "absent"] {
        let request = FacetRequest {
            path: path(key),
            limit: 1,
            filter: None,
        };
        let error = query::facet(&snapshot, &request, &world.env()).unwrap_err();
        assert!(matches!(error, QueryError::NoMapIndex { key: named } if named == key));
    }
}
