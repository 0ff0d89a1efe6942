//! Listings, groups and samples of many points in several segments, and what is refused.

use std::collections::BTreeMap;

use engine::UpsertRows;
use format_spec::{FieldType, Metric, PointId, Schema, Value};
use query::{
    Direction, FacetHit, FacetRequest, FacetValue, Filter, GroupsRequest, MatrixRequest, OrderBy,
    OrderValue, QueryError, Selector, Target, WriteOp,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::filters::{Model, world};
use crate::lists::{
    grouped, groups_of, indexed, listing, matching, ordered_request, pages, path, search_request,
    uuid_of,
};
use crate::world::{World, number, vector};

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
