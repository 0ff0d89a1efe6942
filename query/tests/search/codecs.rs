//! Searches on every codec: rescored ones hold the recall floor, the others do what their bits
//! allow, and a codec that changes is followed.

use engine::Source;
use format_spec::{Codec, Metric, Schema};
use query::{CodeUse, Hit};

use crate::nearest::{Corpus, ids, request, schema, search};
use crate::world::World;
use query::Target;

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
}
