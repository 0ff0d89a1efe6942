//! Searches against brute force: exact ones are equal to it, the others hold the recall floor, and
//! all return as many points as there are.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::{Clock, UpsertRows};
use format_spec::{FieldIndex, FieldType, Metric, PointId, Schema, Value};
use query::{
    AnyOf, Condition, Env, FieldPath, FieldTest, Filter, Hit, MatchValue, PayloadSelector,
    QueryError, QueryRequest, SearchParams, Selector, Target, VectorSelector, WriteOp,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::world::{World, number, vector};

const DIM: usize = 16;

struct Point {
    id: PointId,
    vector: Vec<f32>,
    color: i64,
}

/// Points whose vectors lie around a few centres; `color` is 0..100 at random, `cluster` the
/// centre.
pub(crate) struct Corpus {
    points: Vec<Point>,
    rng: SmallRng,
}

impl Corpus {
    pub(crate) fn new(count: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(5);
        let centres: Vec<Vec<f32>> = (0..20)
            .map(|_| gaussian(&mut rng, &[0.0; DIM], 2.0))
            .collect();
        let points = (0..count).map(|at| {
            let cluster = rng.random_range(0..centres.len());
            let vector = gaussian(&mut rng, &centres[cluster], 1.0);
            let color = rng.random_range(0..100);
            // Ids in an order of their own, so that rows and ids disagree.
            Point {
                id: number(at.wrapping_mul(7_919) % 1_000_003),
                vector,
                color,
            }
        });
        let points = points.collect();
        Self { points, rng }
    }

    pub(crate) fn rows(&self, schema: &Schema, range: std::ops::Range<usize>) -> UpsertRows {
        let mut rows = UpsertRows::new(schema);
        for point in &self.points[range] {
            rows.begin(point.id);
            rows.vector(0, &point.vector).unwrap();
            let color = ("color".to_owned(), Value::Int(point.color));
            let bare = ("bare".to_owned(), Value::Int(point.color));
            rows.payload(&Value::Object(vec![color, bare]).to_bytes());
        }
        rows
    }

    pub(crate) fn query(&mut self) -> Vec<f32> {
        let near = self.rng.random_range(0..self.points.len());
        let from = self.points[near].vector.clone();
        gaussian(&mut self.rng, &from, 0.7)
    }

    /// The nearest points with a color below `colors`, by distance and then id.
    pub(crate) fn truth(
        &self,
        metric: Metric,
        query: &[f32],
        colors: i64,
        limit: usize,
    ) -> Vec<PointId> {
        let kept = self.points.iter().filter(|point| point.color < colors);
        let mut all: Vec<(f32, PointId)> = kept
            .map(|point| (distance(metric, query, &point.vector), point.id))
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.into_iter().take(limit).map(|(_, id)| id).collect()
    }
}

/// Sums of uniforms are close enough to a Gaussian.
fn gaussian(rng: &mut SmallRng, centre: &[f32], width: f32) -> Vec<f32> {
    let one = |c: &f32| {
        let sum: f32 = (0..6).map(|_| rng.random::<f32>() - 0.5).sum();
        c + width * sum
    };
    centre.iter().map(one).collect()
}

fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    match metric {
        Metric::Dot => -dot(a, b),
        Metric::Cosine => -dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
        Metric::Euclid => a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum(),
        Metric::Manhattan => a.iter().zip(b).map(|(x, y)| (x - y).abs()).sum(),
    }
}

pub(crate) fn schema(metric: Metric) -> Schema {
    let mut schema = Schema {
        vectors: vec![vector("", DIM as u32, metric)],
        ..Schema::default()
    };
    schema.compaction.indexing_threshold_kb = 1;
    schema.fields.push(FieldIndex {
        path: "color".to_owned(),
        field_type: FieldType::Integer,
        settings: Vec::new(),
    });
    schema
}

/// Most of the points in segments with a graph, some in a flat one, some in memory.
fn world(corpus: &Corpus, metric: Metric) -> World {
    let world = World::new(schema(metric));
    let count = corpus.points.len();
    let upsert = |range| {
        let rows = corpus.rows(&world.collection.schema(), range);
        world.upsert(rows);
    };
    upsert(0..count * 8 / 10);
    world.settle();
    upsert(count * 8 / 10..count * 9 / 10);
    world.flush();
    upsert(count * 9 / 10..count);
    world
}

fn below(key: &str, colors: i64) -> Filter {
    let lt = Some(colors as f64);
    let test = FieldTest::Range {
        gt: None,
        gte: None,
        lt,
        lte: None,
    };
    let path = FieldPath::parse(key).unwrap();
    Filter {
        must: vec![Condition::Field { path, test }],
        ..Filter::default()
    }
}

pub(crate) fn request(target: Target, filter: Option<Filter>, limit: usize) -> QueryRequest {
    QueryRequest {
        target: Some(target),
        using: String::new(),
        filter,
        params: SearchParams::default(),
        score_threshold: None,
        limit,
        offset: 0,
        with_payload: PayloadSelector::All(false),
        with_vector: VectorSelector::All(false),
    }
}

pub(crate) fn search(world: &World, request: &QueryRequest) -> Vec<Hit> {
    query::search(&world.snapshot(), request, &world.env()).unwrap()
}

pub(crate) fn ids(hits: &[Hit]) -> Vec<PointId> {
    hits.iter().map(|hit| hit.record.id).collect()
}

#[test]
fn exact_search_is_brute_force() {
    for metric in [
        Metric::Cosine,
        Metric::Dot,
        Metric::Euclid,
        Metric::Manhattan,
    ] {
        let mut corpus = Corpus::new(1_500);
        let world = world(&corpus, metric);
        for (key, colors) in [
            ("color", 100),
            ("color", 10),
            ("bare", 10),
            ("color", 1),
            ("color", 0),
        ] {
            let query = corpus.query();
            let filter = (colors < 100).then(|| below(key, colors));
            let mut exact = request(Target::Vector(query.clone()), filter, 25);
            exact.params.exact = true;
            let hits = search(&world, &exact);
            let truth = corpus.truth(metric, &query, colors, 25);
            assert_eq!(ids(&hits), truth, "{metric:?} {key} < {colors}");
            let better = |a: f32, b: f32| match metric {
                Metric::Cosine | Metric::Dot => a >= b,
                Metric::Euclid | Metric::Manhattan => a <= b,
            };
            assert!(hits.is_sorted_by(|a, b| better(a.score, b.score)));
        }
    }
}

#[test]
fn searches_hold_the_recall_floor_at_every_selectivity() {
    let mut corpus = Corpus::new(4_000);
    for metric in [Metric::Cosine, Metric::Dot, Metric::Euclid] {
        let world = world(&corpus, metric);
        for key in ["color", "bare"] {
            for colors in [100, 90, 50, 20, 5, 1] {
                let (mut found, mut wanted) = (0, 0);
                for _ in 0..20 {
                    let query = corpus.query();
                    let filter = (colors < 100).then(|| below(key, colors));
                    let hits = search(&world, &request(Target::Vector(query.clone()), filter, 10));
                    let truth: BTreeSet<PointId> = corpus
                        .truth(metric, &query, colors, 10)
                        .into_iter()
                        .collect();
                    assert_eq!(hits.len(), truth.len(), "{key} < {colors}");
                    wanted += truth.len();
                    found += ids(&hits).iter().filter(|id| truth.contains(id)).count();
                }
                let recall = f64::from(found as u32) / f64::from(wanted as u32);
                assert!(
                    recall >= 0.97,
                    "{metric:?} {key} < {colors}: recall {recall}"
                );
            }
        }
    }
}

#[test]
fn a_filter_far_from_the_query_returns_what_matches() {
    let corpus = Corpus::new(3_000);
    let world = world(&corpus, Metric::Euclid);
    // The points farthest from the query, by id: as unlike the query as a filter can be.
    let query = corpus.points[0].vector.clone();
    let mut far = corpus.truth(Metric::Euclid, &query, 100, corpus.points.len());
    let far = far.split_off(far.len() - 300);
    let filter = Filter {
        must: vec![Condition::HasId(far.clone())],
        ..Filter::default()
    };
    let hits = search(&world, &request(Target::Vector(query), Some(filter), 50));
    assert_eq!(ids(&hits), far[..50]);
}

#[test]
fn a_limit_beyond_the_graph_returns_everything() {
    let corpus = Corpus::new(1_200);
    let world = world(&corpus, Metric::Cosine);
    let query = corpus.points[3].vector.clone();
    for limit in [1_199, 1_200, 5_000] {
        let hits = search(&world, &request(Target::Vector(query.clone()), None, limit));
        assert_eq!(hits.len(), limit.min(1_200));
        let distinct: BTreeSet<PointId> = ids(&hits).into_iter().collect();
        assert_eq!(distinct.len(), hits.len());
    }
    let mut narrow = request(Target::Vector(query), Some(below("color", 50)), 400);
    narrow.params.hnsw_ef = Some(1);
    assert_eq!(search(&world, &narrow).len(), 400);
}

#[test]
fn dead_points_are_never_found_and_leave_room_for_others() {
    let corpus = Corpus::new(2_000);
    let world = world(&corpus, Metric::Euclid);
    let query = corpus.points[9].vector.clone();
    let nearest = corpus.truth(Metric::Euclid, &query, 100, 200);
    let dead: Vec<PointId> = nearest.iter().copied().step_by(2).collect();
    world
        .write(vec![WriteOp::Delete(Selector::Ids(dead.clone()))])
        .unwrap();
    let hits = search(&world, &request(Target::Vector(query), None, 100));
    assert_eq!(hits.len(), 100);
    assert!(ids(&hits).iter().all(|id| !dead.contains(id)));
}

#[test]
fn pages_follow_each_other_and_the_threshold_cuts() {
    let corpus = Corpus::new(800);
    let world = world(&corpus, Metric::Euclid);
    let query = corpus.points[17].vector.clone();
    let mut all = request(Target::Vector(query), None, 40);
    all.params.exact = true;
    let hits = search(&world, &all);
    let page = QueryRequest {
        offset: 15,
        limit: 10,
        ..all.clone()
    };
    assert_eq!(search(&world, &page), hits[15..25]);
    let threshold = hits[20].score;
    let cut = QueryRequest {
        score_threshold: Some(threshold),
        ..all.clone()
    };
    assert_eq!(search(&world, &cut), hits[..20]);
    let none = QueryRequest { limit: 0, ..all };
    assert_eq!(search(&world, &none), []);
}

#[test]
fn a_point_as_target_is_not_among_its_results() {
    let corpus = Corpus::new(600);
    let world = world(&corpus, Metric::Cosine);
    let point = &corpus.points[100];
    let mut near = request(Target::Point(point.id), None, 10);
    near.params.exact = true;
    let truth = corpus.truth(Metric::Cosine, &point.vector, 100, 11);
    assert_eq!(ids(&search(&world, &near)), truth[1..]);
    let absent = request(Target::Point(PointId::Uuid(1)), None, 10);
    let error = query::search(&world.snapshot(), &absent, &world.env()).unwrap_err();
    assert!(matches!(
        error,
        QueryError::PointNotFound {
            id: PointId::Uuid(1)
        }
    ));
}

#[test]
fn equally_near_points_come_in_id_order() {
    let world = World::new(schema(Metric::Euclid));
    let mut rows = UpsertRows::new(&world.collection.schema());
    for at in 0..200u64 {
        rows.begin(number((at * 37) % 200));
        rows.vector(0, &[if at == 5 { 2.0 } else { 1.0 }; DIM])
            .unwrap();
    }
    world.upsert(rows);
    let nearest = |limit| {
        ids(&search(
            &world,
            &request(Target::Vector(vec![2.0; DIM]), None, limit),
        ))
    };
    let expected: Vec<PointId> = [185, 0, 1, 2, 3].map(number).to_vec();
    assert_eq!(nearest(5), expected);
    world.flush();
    assert_eq!(nearest(5), expected);
    assert_eq!(nearest(1), expected[..1]);
}

/// Even points have the default vector, every fifth has an image.
fn world_of_two_vectors() -> World {
    let mut schema = schema(Metric::Euclid);
    schema.vectors.push(vector("image", 4, Metric::Cosine));
    let world = World::new(schema);
    let mut rows = UpsertRows::new(&world.collection.schema());
    for id in 0..50u64 {
        rows.begin(number(id));
        if id % 2 == 0 {
            rows.vector(0, &[id as f32; DIM]).unwrap();
        }
        if id % 5 == 0 {
            rows.vector(1, &[1.0, id as f32, 0.0, 0.0]).unwrap();
        }
    }
    world.upsert(rows);
    world
}

fn near_image() -> QueryRequest {
    let mut image = request(Target::Vector(vec![0.0, 1.0, 0.0, 0.0]), None, 3);
    "image".clone_into(&mut image.using);
    image
}

#[test]
fn points_without_the_vector_are_left_out() {
    let world = world_of_two_vectors();
    for flushed in [false, true] {
        if flushed {
            world.flush();
        }
        let plain = search(&world, &request(Target::Vector(vec![0.0; DIM]), None, 100));
        assert_eq!(
            ids(&plain),
            (0..50).step_by(2).map(number).collect::<Vec<_>>()
        );
        let names = vec!["image".to_owned(), "none".to_owned()];
        let with_vector = VectorSelector::Names(names);
        let hits = search(
            &world,
            &QueryRequest {
                with_vector,
                ..near_image()
            },
        );
        assert_eq!(ids(&hits), [45, 40, 35].map(number));
        let vectors = hits[0].record.vectors.as_ref().unwrap();
        assert_eq!((vectors.len(), vectors[0].0.as_str()), (1, "image"));
    }
}

#[test]
fn a_target_that_does_not_fit_is_refused() {
    let world = world_of_two_vectors();
    let error = |target: Target, using: &str| {
        let request = QueryRequest {
            target: Some(target),
            using: using.to_owned(),
            ..near_image()
        };
        query::search(&world.snapshot(), &request, &world.env()).unwrap_err()
    };
    let missing = error(Target::Point(number(1)), "image");
    assert!(matches!(missing, QueryError::VectorNotFound { .. }));
    let unknown = error(Target::Vector(vec![1.0; 4]), "sound");
    assert!(matches!(unknown, QueryError::UnknownVector { .. }));
    let short = error(Target::Vector(vec![1.0]), "image");
    assert!(matches!(
        short,
        QueryError::Dimension {
            expected: 4,
            got: 1,
            ..
        }
    ));
    let nan = error(Target::Vector(vec![f32::NAN; 4]), "image");
    assert!(matches!(nan, QueryError::NotFinite { index: 0, .. }));
}

#[test]
fn indexed_only_leaves_out_what_is_large_and_has_neither_graph_nor_codes() {
    let corpus = Corpus::new(1_000);
    // There are no codes of Manhattan distances.
    let world = world(&corpus, Metric::Manhattan);
    let query = corpus.points[1].vector.clone();
    let mut indexed = request(Target::Vector(query), None, 1_000);
    indexed.params.indexed_only = true;
    let indexed_points: BTreeSet<PointId> =
        corpus.points[..800].iter().map(|point| point.id).collect();
    let found: BTreeSet<PointId> = ids(&search(&world, &indexed)).into_iter().collect();
    assert_eq!(found, indexed_points);
}

#[test]
fn a_late_request_is_given_up() {
    let corpus = Corpus::new(300);
    let world = world(&corpus, Metric::Euclid);
    world.clock.advance(Duration::from_secs(10));
    let late = Env {
        deadline: Some(Duration::from_secs(5)),
        ..world.env()
    };
    let in_time = Env {
        deadline: Some(Duration::from_secs(15)),
        ..world.env()
    };
    assert!(world.clock.monotonic() < Duration::from_secs(15));
    let query = request(Target::Vector(corpus.points[1].vector.clone()), None, 10);
    let snapshot = world.snapshot();
    let error = query::search(&snapshot, &query, &late).unwrap_err();
    assert!(matches!(error, QueryError::Deadline));
    assert_eq!(
        query::search(&snapshot, &query, &in_time).unwrap().len(),
        10
    );
}

#[test]
fn counts_agree_whether_rough_or_exact_when_an_index_decides() {
    let corpus = Corpus::new(2_000);
    let world = world(&corpus, Metric::Euclid);
    world.settle();
    let snapshot = world.snapshot();
    let count = |filter: &Filter, exact| {
        query::count(&snapshot, Some(filter), exact, &world.env()).unwrap()
    };
    let of = |colors: i64| corpus.points.iter().filter(|p| p.color < colors).count() as u64;
    assert_eq!(count(&below("color", 30), true), of(30));
    assert_eq!(count(&below("color", 30), false), of(30));
    assert_eq!(count(&below("bare", 30), true), of(30));
    let rough = count(&below("bare", 30), false) as f64 / of(30) as f64;
    assert!((0.5..2.0).contains(&rough), "{rough}");
    assert_eq!(
        query::count(&snapshot, None, true, &world.env()).unwrap(),
        2_000
    );
}

#[test]
fn an_index_on_another_type_than_the_filter_changes_nothing() {
    let corpus = Corpus::new(500);
    let world = world(&corpus, Metric::Euclid);
    world.settle();
    let path = FieldPath::parse("color").unwrap();
    let keyword = FieldTest::Match(MatchValue::Keyword("7".to_owned()));
    let except = FieldTest::Except(AnyOf::Integers(vec![7]));
    let count = |test: FieldTest| {
        let must = vec![Condition::Field {
            path: path.clone(),
            test,
        }];
        let filter = Filter {
            must,
            ..Filter::default()
        };
        query::count(&world.snapshot(), Some(&filter), true, &world.env()).unwrap()
    };
    assert_eq!(count(keyword), 0);
    let others = corpus
        .points
        .iter()
        .filter(|point| point.color != 7)
        .count();
    assert_eq!(count(except), others as u64);
}
