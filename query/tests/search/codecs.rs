//! Searches on every codec: rescored ones hold the recall floor, the others do what their bits
//! allow, and a codec that changes is followed.

use engine::{Source, UpsertRows};
use format_spec::{Codec, Metric, Schema};
use query::{CodeUse, Hit, Target};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::nearest::{Corpus, ids, request, schema, search};
use crate::world::{World, number, vector};

/// Enough for codes to be scanned rather than vectors.
const COUNT: usize = 12_000;
const QUERIES: usize = 20;
const LIMIT: usize = 10;

fn world(corpus: &Corpus, metric: Metric, codec: Codec) -> World {
    let mut schema: Schema = schema(metric);
    schema.vectors[0].codec = codec;
    schema.vectors[0].hnsw.m = 0;
    let world = World::new(schema);
    world.upsert(corpus.rows(&world.collection.schema(), 0..COUNT));
    world.settle();
    world
}

/// Bits of the codes of the one segment.
fn bits(world: &World) -> usize {
    let snapshot = world.snapshot();
    let sealed = snapshot.sources().iter().find(|s| s.segment_id().is_some());
    let codes = sealed.map(|source: &Source| source.codes(0).unwrap());
    codes.flatten().map_or(0, |codes| codes.bits().count())
}

/// Mean recall, and the largest difference of a score from the exact one.
fn measure(world: &World, corpus: &mut Corpus, metric: Metric, codes: CodeUse) -> (f64, f32) {
    let (mut found, mut off) = (0, 0.0_f32);
    for _ in 0..QUERIES {
        let query = corpus.query();
        let truth = corpus.truth(metric, &query, 100, LIMIT);
        let mut asked = request(Target::Vector(query.clone()), None, LIMIT);
        asked.params.codes = codes;
        let hits = search(world, &asked);
        assert_eq!(hits.len(), LIMIT);
        found += ids(&hits).iter().filter(|id| truth.contains(id)).count();
        asked.params.exact = true;
        asked.limit = COUNT;
        let exact = search(world, &asked);
        let exact = |hit: &Hit| {
            exact
                .iter()
                .find(|e| e.record.id == hit.record.id)
                .unwrap()
                .score
        };
        let worst = hits.iter().map(|hit| (hit.score - exact(hit)).abs());
        off = off.max(worst.fold(0.0, f32::max));
    }
    (found as f64 / (QUERIES * LIMIT) as f64, off)
}

#[test]
fn every_codec_holds_the_floor_and_estimates_as_its_bits_allow() {
    for metric in [Metric::Euclid, Metric::Dot] {
        for (codec, count, alone) in [
            (Codec::Bits1, 1, 0.3),
            (Codec::Bits2, 2, 0.5),
            (Codec::Bits4, 4, 0.8),
            (Codec::Auto, 4, 0.8),
            (Codec::Bits8, 8, 0.95),
        ] {
            let mut corpus = Corpus::new(COUNT as u64);
            let world = world(&corpus, metric, codec);
            assert_eq!(bits(&world), count, "{codec:?}");
            let what = format!("{metric:?}, {codec:?}");
            let (recall, off) = measure(&world, &mut corpus, metric, CodeUse::default());
            assert!(recall >= 0.98 && off == 0.0, "{what}: {recall}, {off}");
            let wider = CodeUse {
                oversampling: 4.0,
                ..CodeUse::default()
            };
            let (recall, off) = measure(&world, &mut corpus, metric, wider);
            assert!(
                recall >= 0.99 && off == 0.0,
                "{what}, wider: {recall}, {off}"
            );
            let estimated = CodeUse {
                rescore: false,
                ..CodeUse::default()
            };
            let (recall, off) = measure(&world, &mut corpus, metric, estimated);
            assert!(
                recall >= alone && off > 0.0,
                "{what}, estimated: {recall}, {off}"
            );
            let without = CodeUse {
                ignore: true,
                rescore: false,
                ..CodeUse::default()
            };
            let (recall, off) = measure(&world, &mut corpus, metric, without);
            assert!(
                recall >= 0.98 && off == 0.0,
                "{what}, without: {recall}, {off}"
            );
        }
    }
}

#[test]
fn product_codes_hold_the_floor_whatever_their_compression() {
    for (metric, codec, alone) in [
        (Metric::Euclid, Codec::Product4, 0.9),
        (Metric::Cosine, Codec::Product8, 0.5),
        (Metric::Manhattan, Codec::Product16, 0.2),
        (Metric::Manhattan, Codec::Bits8, 0.8),
        (Metric::Dot, Codec::Product32, 0.05),
        (Metric::Euclid, Codec::Product64, 0.0),
    ] {
        let mut corpus = Corpus::new(COUNT as u64);
        let world = world(&corpus, metric, codec);
        let snapshot = world.snapshot();
        let product = snapshot.sources()[0].product(0).unwrap();
        let factor = product
            .and_then(|product| product.compression())
            .unwrap()
            .factor();
        // What a rotation does not keep has product codes of as many bits.
        let same = if codec == Codec::Bits8 {
            Codec::Product4
        } else {
            codec
        };
        assert_eq!(format!("Product{factor}"), format!("{same:?}"));
        let what = format!("{metric:?}, {codec:?}");
        let (recall, off) = measure(&world, &mut corpus, metric, CodeUse::default());
        assert!(recall >= 0.97 && off == 0.0, "{what}: {recall}, {off}");
        let estimated = CodeUse {
            rescore: false,
            ..CodeUse::default()
        };
        let (recall, _) = measure(&world, &mut corpus, metric, estimated);
        assert!(recall >= alone, "{what}, estimated: {recall}");
    }
}

#[test]
fn a_codec_that_changes_is_followed() {
    let mut corpus = Corpus::new(COUNT as u64);
    let world = world(&corpus, Metric::Euclid, Codec::Auto);
    for (codec, count) in [(Codec::Bits1, 1), (Codec::Bits8, 8), (Codec::Bits4, 4)] {
        world.alter(|schema| schema.vectors[0].codec = codec);
        world.settle();
        assert_eq!(bits(&world), count, "{codec:?}");
        let metric = Metric::Euclid;
        let (recall, _) = measure(&world, &mut corpus, metric, CodeUse::default());
        assert!(recall >= 0.98, "{codec:?}: {recall}");
    }
    let has = |world: &World| {
        let snapshot = world.snapshot();
        let source = &snapshot.sources()[0];
        let (codes, product) = (source.codes(0).unwrap(), source.product(0).unwrap());
        (codes.is_some(), product.is_some())
    };
    assert_eq!(has(&world), (true, false));
    for (codec, parts) in [
        (Codec::Product8, (false, true)),
        (Codec::Auto, (true, false)),
    ] {
        world.alter(|schema| schema.vectors[0].codec = codec);
        world.settle();
        assert_eq!(has(&world), parts, "{codec:?}");
    }
}

/// The share of the nearest that a search finds; equally near ones count as each other.
fn recall_by_distance(world: &World, queries: &[Vec<f32>], recall: Option<f32>) -> f64 {
    let mut found = 0;
    for query in queries {
        let mut asked = request(Target::Vector(query.clone()), None, LIMIT);
        asked.params.recall = recall;
        let hits = search(world, &asked);
        assert_eq!(hits.len(), LIMIT);
        asked.params.exact = true;
        let last = search(world, &asked)[LIMIT - 1].score;
        found += hits.iter().filter(|hit| hit.score <= last).count();
    }
    found as f64 / (queries.len() * LIMIT) as f64
}

type Draw = fn(&mut SmallRng) -> Vec<f32>;

fn uniform(rng: &mut SmallRng, dim: usize) -> Vec<f32> {
    (0..dim).map(|_| rng.random::<f32>() - 0.5).collect()
}

/// Vectors of which codes say little.
const WEAK: [(&str, Draw); 5] = [
    ("two dimensions", |rng| uniform(rng, 2)),
    ("few different ones", |rng| {
        let mut few = SmallRng::seed_from_u64(rng.random_range(0..20));
        uniform(&mut few, 32)
    }),
    ("one dimension that counts", |rng| {
        let mut vector = uniform(rng, 32);
        vector[3] *= 1e4;
        vector
    }),
    ("constant dimensions", |rng| {
        let mut vector = uniform(rng, 100);
        vector[4..].fill(7.0);
        vector
    }),
    ("far outliers", |rng| {
        let scale = if rng.random_range(0..100) == 0 {
            1e6
        } else {
            1.0
        };
        uniform(rng, 48).iter().map(|x| x * scale).collect()
    }),
];

#[test]
fn data_on_which_codes_are_weak_keeps_the_floor() {
    for (what, draw) in WEAK {
        for codec in [Codec::Auto, Codec::Bits1] {
            let mut rng = SmallRng::seed_from_u64(3);
            let dim = draw(&mut rng).len() as u32;
            let mut schema = Schema {
                vectors: vec![vector("", dim, Metric::Euclid)],
                ..Schema::default()
            };
            schema.vectors[0].codec = codec;
            schema.vectors[0].hnsw.m = 0;
            let world = World::new(schema);
            let mut rows = UpsertRows::new(&world.collection.schema());
            for id in 0..COUNT as u64 {
                rows.begin(number(id));
                rows.vector(0, &draw(&mut rng)).unwrap();
            }
            world.upsert(rows);
            world.settle();
            assert!(bits(&world) > 0);
            let queries: Vec<Vec<f32>> = (0..QUERIES).map(|_| draw(&mut rng)).collect();
            for recall in [None, Some(0.999)] {
                let found = recall_by_distance(&world, &queries, recall);
                assert!(found >= 0.97, "{what}, {codec:?}, {recall:?}: {found}");
            }
        }
    }
}

#[test]
fn what_was_measured_is_known_after_a_merge_and_a_change_of_the_codec() {
    let corpus = Corpus::new(COUNT as u64);
    let world = world(&corpus, Metric::Euclid, Codec::Auto);
    let known = |world: &World| {
        let snapshot = world.snapshot();
        let sealed = snapshot.sources().iter().find(|s| s.segment_id().is_some());
        sealed.unwrap().known_recall_of_codes(0).to_vec()
    };
    let first = known(&world);
    assert_eq!(first.len(), index::effort::DEVIATIONS.len());
    assert!(first.last().unwrap().recall >= 9_900, "{first:?}");
    assert!(first[0].recall <= first.last().unwrap().recall, "{first:?}");
    world.alter(|schema| schema.vectors[0].codec = Codec::Bits1);
    world.settle();
    assert_eq!(known(&world).len(), first.len());
    world.alter(|schema| schema.vectors[0].hnsw.m = 8);
    world.settle();
    let snapshot = world.snapshot();
    let graph = snapshot.sources()[0].known_recall_of_graph(0);
    assert_eq!(graph.len(), index::effort::BEAM_ROWS.len());
    assert!(graph.last().unwrap().recall >= 9_800, "{graph:?}");
}
