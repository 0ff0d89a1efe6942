//! Cold vectors and payloads: the answers are those of cached ones.

use engine::{Placement, Residency, UpsertRows, VectorPlacement};
use format_spec::{Codec, Element, Metric, Schema, Value};
use query::{
    Hit, PayloadSelector, QueryRequest, SearchParams, Selector, Target, VectorSelector, WriteOp,
    retrieve, search,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::nearest::request;
use crate::world::{World, number, vector};

const COUNT: u64 = 1_500;

fn everywhere(residency: Residency) -> Placement {
    let vector = VectorPlacement {
        originals: residency,
        ..VectorPlacement::default()
    };
    let vectors = ["", "other"].map(|name| (name.to_owned(), vector));
    Placement {
        vectors: vectors.into(),
        payload: residency,
        ..Placement::default()
    }
}

fn values(rng: &mut SmallRng, dim: u32, element: Element) -> Vec<f32> {
    let value = |_| match element {
        Element::U8 => f32::from(rng.random::<u8>()),
        Element::F32 | Element::F16 => rng.random::<f32>() - 0.5,
    };
    (0..dim).map(value).collect()
}

/// Two vectors, the second of which a third of the points have; some points are deleted.
fn world(metric: Metric, element: Element, dim: u32, graph: bool) -> World {
    let mut schema = Schema {
        vectors: vec![vector("", dim, metric), vector("other", 5, Metric::Euclid)],
        ..Schema::default()
    };
    schema.vectors[0].element = element;
    // Codes of one bit have no others behind them.
    if metric == Metric::Dot {
        schema.vectors[0].codec = Codec::Bits1;
    }
    schema.compaction.indexing_threshold_kb = u64::from(graph);
    schema.compaction.fan_out = 2;
    let world = World::new(schema);
    let mut rng = SmallRng::seed_from_u64(17);
    for part in 0..3 {
        let mut rows = UpsertRows::new(&world.collection.schema());
        for id in part * COUNT / 3..(part + 1) * COUNT / 3 {
            rows.begin(number(id));
            rows.vector(0, &values(&mut rng, dim, element)).unwrap();
            if id % 3 == 0 {
                rows.vector(1, &values(&mut rng, 5, Element::F32)).unwrap();
            }
            let text = Value::Text(format!("point {id} ").repeat(40));
            let members = [("n", Value::Int(id as i64)), ("text", text)];
            let members = members.map(|(key, value)| (key.to_owned(), value));
            rows.payload(&Value::Object(members.to_vec()).to_bytes());
        }
        world.upsert(rows);
        world.flush();
    }
    let gone = Selector::Ids((0..COUNT).step_by(7).map(number).collect());
    world.write(vec![WriteOp::Delete(gone)]).unwrap();
    if graph {
        world.settle();
    }
    world
}

fn ask(world: &World, (using, vector): (&str, &[f32]), limit: usize, exact: bool) -> Vec<Hit> {
    let request = QueryRequest {
        target: Some(Target::Vector(vector.to_vec())),
        using: using.to_owned(),
        filter: None,
        params: SearchParams {
            exact,
            ..SearchParams::default()
        },
        score_threshold: None,
        limit,
        offset: 0,
        with_payload: PayloadSelector::All(true),
        with_vector: VectorSelector::All(true),
    };
    search(&world.snapshot(), &request, &world.env()).unwrap()
}

#[test]
fn cold_and_cached_answers_are_equal() {
    for (metric, element, dim, graph) in [
        (Metric::Cosine, Element::F32, 40, true),
        (Metric::Dot, Element::F16, 33, false),
        (Metric::Euclid, Element::F32, 3, true),
        (Metric::Euclid, Element::U8, 16, false),
        (Metric::Manhattan, Element::F32, 19, false),
    ] {
        let shown = format!("{metric:?} {element:?} {dim} graph {graph}");
        let world = world(metric, element, dim, graph);
        let mut rng = SmallRng::seed_from_u64(23);
        let (mut same, mut wanted) = (0, 0);
        for round in 0..12 {
            let first = values(&mut rng, dim, element);
            let second = values(&mut rng, 5, Element::F32);
            for (using, query) in [("", &first), ("other", &second)] {
                let limit = [1, 10, 120][round % 3];
                for exact in [true, false] {
                    let mut answers = Vec::new();
                    for residency in [Residency::Cached, Residency::Cold, Residency::Pinned] {
                        world.collection.place(everywhere(residency));
                        answers.push(ask(&world, (using, query), limit, exact));
                    }
                    assert_eq!(answers[0], answers[2], "{shown}");
                    if exact {
                        assert_eq!(answers[0], answers[1], "{shown}");
                    }
                    assert_eq!(answers[0].len(), answers[1].len(), "{shown}");
                    wanted += answers[0].len();
                    let found = |hit: &&Hit| answers[0].contains(hit);
                    same += answers[1].iter().filter(found).count();
                }
            }
        }
        // Both leave a row out with the same small probability, and not always the same one.
        assert!(same * 1_000 >= wanted * 998, "{shown}: {same} of {wanted}");
    }
}

/// A graph would read vectors step by step: where they are on disk their codes answer, of whatever
/// kind these are.
#[test]
fn vectors_on_disk_are_found_by_product_codes_and_not_by_a_graph_without_codes() {
    let mut schema = Schema {
        vectors: vec![vector("", 32, Metric::Euclid)],
        ..Schema::default()
    };
    schema.vectors[0].codec = Codec::Product4;
    schema.compaction.indexing_threshold_kb = 1;
    let world = World::new(schema);
    let mut rng = SmallRng::seed_from_u64(5);
    let mut rows = UpsertRows::new(&world.collection.schema());
    for id in 0..12_000 {
        rows.begin(number(id));
        rows.vector(0, &values(&mut rng, 32, Element::F32)).unwrap();
        rows.payload(&Value::Object(Vec::new()).to_bytes());
    }
    world.upsert(rows);
    world.settle();
    let snapshot = world.snapshot();
    assert!(snapshot.sources()[0].graph(0).unwrap().is_some());
    assert!(snapshot.sources()[0].product(0).unwrap().is_some());
    let cold = VectorPlacement {
        originals: Residency::Cold,
        ..VectorPlacement::default()
    };
    world.collection.place(Placement {
        vectors: [(String::new(), cold)].into(),
        ..Placement::default()
    });
    let query = values(&mut rng, 32, Element::F32);
    let mut asked = request(Target::Vector(query), None, 10);
    asked.params.hnsw_ef = Some(16);
    let plan = query::explain(
        &world.snapshot(),
        &asked,
        &world.env(),
        query::Explain {
            analyze: true,
            path: None,
        },
    );
    let plan = plan.unwrap();
    let actual = plan.sources[0].actual.as_ref().unwrap();
    assert_eq!(actual.path, Some(query::AccessPath::Codes), "{plan:?}");
}

/// What a filter reads of payloads in files is told by `analyze`, and not that of cached ones.
#[test]
fn cold_payloads_that_a_filter_reads_are_counted() {
    let world = world(Metric::Euclid, Element::F32, 8, false);
    let path = query::FieldPath::parse("n").unwrap();
    let test = query::FieldTest::Match(query::MatchValue::Integer(11));
    let filter = query::Filter {
        must: vec![query::Condition::Field { path, test }],
        ..query::Filter::default()
    };
    let request = QueryRequest {
        target: Some(Target::Vector(vec![0.1; 8])),
        using: String::new(),
        filter: Some(filter),
        params: SearchParams::default(),
        score_threshold: None,
        limit: 5,
        offset: 0,
        with_payload: PayloadSelector::All(false),
        with_vector: VectorSelector::All(false),
    };
    let options = query::Explain {
        analyze: true,
        path: None,
    };
    for (residency, cold) in [(Residency::Cached, false), (Residency::Cold, true)] {
        world.collection.place(Placement {
            payload: residency,
            ..Placement::default()
        });
        let told = query::explain(&world.snapshot(), &request, &world.env(), options).unwrap();
        let actual = told
            .sources
            .iter()
            .filter_map(|source| source.actual.as_ref());
        let read: Vec<_> = actual
            .map(|a| (a.payloads, a.cold_reads, a.cold_bytes))
            .collect();
        let (payloads, reads, bytes) = read
            .iter()
            .fold((0, 0, 0), |sum, a| (sum.0 + a.0, sum.1 + a.1, sum.2 + a.2));
        assert!(payloads > 0, "{read:?}");
        assert_eq!((reads > 0, bytes > 100), (cold, cold), "{read:?}");
    }
}

#[test]
fn points_are_read_whole_from_cold_files_before_and_after_a_merge() {
    let world = world(Metric::Dot, Element::F32, 12, false);
    let ids: Vec<_> = (0..COUNT).rev().step_by(3).map(number).collect();
    let read = || {
        let (payload, vectors) = (PayloadSelector::All(true), VectorSelector::All(true));
        retrieve(&world.snapshot(), &ids, &payload, &vectors).unwrap()
    };
    let cached = read();
    world.collection.place(everywhere(Residency::Cold));
    let held = world.collection.held();
    assert!(held.vectors[0].originals.cold > 0 && held.payload.cold > 0);
    assert_eq!(held.vectors[0].originals.mapped + held.payload.mapped, 0);
    assert_eq!(read(), cached);
    let segments = world.snapshot().sources().len();
    world.settle();
    assert!(world.snapshot().sources().len() < segments);
    let held = world.collection.held();
    assert!(held.vectors[1].originals.cold > 0 && held.payload.cold > 0);
    assert_eq!(held.payload.mapped, 0, "what a merge makes is cold as well");
    assert_eq!(read(), cached);
    world.collection.place(Placement::default());
    assert_eq!(world.collection.held().payload.cold, 0);
    assert_eq!(read(), cached);
}
