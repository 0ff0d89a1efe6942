//! Seeded vectors, and the truth about them, for tests of graphs.

use quant::{BlockBuilder, CodeBits, CodeMetric, CodePair, CodeSpace, Encoder, Rotation};

use crate::graph::build::{Silent, build};
use crate::graph::level::mix;
use crate::neighbor::{Neighbor, TopK};
use crate::scan::scan;
use crate::settings::BuildSettings;
use crate::{Accept, BuiltGraph, CodedSpace, Row, RowSet, Scorer, Space};

/// Vectors under the squared Euclidean distance.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub(crate) vectors: Vec<Vec<f32>>,
}

fn squared(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Numbers in -1..1 from a seed.
pub(crate) fn numbers(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = mix(state);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

impl Plain {
    /// `rows` vectors in `clusters` clusters, in the order of the rows modulo the clusters.
    pub(crate) fn clustered(rows: u32, clusters: u32, dim: usize, seed: u64) -> Self {
        let mut number = numbers(seed);
        let centres: Vec<Vec<f32>> = (0..clusters)
            .map(|_| (0..dim).map(|_| number() * 4.0).collect())
            .collect();
        let vectors = (0..rows)
            .map(|row| {
                let centre = &centres[(row % clusters) as usize];
                centre.iter().map(|at| at + number() + number()).collect()
            })
            .collect();
        Self { vectors }
    }

    /// The query that stands between rows, the `nth` of its seed.
    pub(crate) fn query(&self, nth: u64) -> ToQuery<'_> {
        let mut number = numbers(nth.wrapping_mul(31).wrapping_add(5));
        let near = &self.vectors[(mix(nth) % self.vectors.len() as u64) as usize];
        let query = near.iter().map(|at| at + 0.7 * number()).collect();
        ToQuery { space: self, query }
    }

    /// The same rows by their codes.
    pub(crate) fn coded(&self) -> CodedSpace<'static> {
        let vectors = || self.vectors.iter().map(|vector| &vector[..]);
        let rotation = Rotation::new(self.vectors.first().map_or(1, Vec::len), 2);
        let space = CodeSpace::of_sample(rotation, vectors());
        let mut encoder = Encoder::new(&space, CodeMetric::Euclid, CodeBits::Four);
        let mut block = BlockBuilder::new(space.padded());
        let (mut rows, mut blocks) = (Vec::new(), Vec::new());
        for vector in vectors() {
            encoder.encode(vector, &mut block, &mut rows);
            if block.is_full() {
                block.finish(&mut blocks);
            }
        }
        if !block.is_empty() {
            block.finish(&mut blocks);
        }
        let pair = CodePair::new(CodeMetric::Euclid, space.padded());
        CodedSpace::new(rows, blocks, pair, self.len())
    }

    pub(crate) fn build(&self, settings: BuildSettings, present: Option<&RowSet>) -> BuiltGraph {
        build(self, present, settings, &pool(1), &Silent).unwrap()
    }
}

impl Space for Plain {
    type Prepared = Row;

    fn prepare(&self, row: Row, prepared: &mut Row) {
        *prepared = row;
    }

    fn len(&self) -> u32 {
        self.vectors.len() as u32
    }

    fn distance(&self, from: &Row, to: Row) -> f32 {
        squared(&self.vectors[*from as usize], &self.vectors[to as usize])
    }
}

/// Distances from a query to the rows of [`Plain`].
pub(crate) struct ToQuery<'a> {
    space: &'a Plain,
    query: Vec<f32>,
}

impl ToQuery<'_> {
    /// The truth: the nearest accepted rows.
    pub(crate) fn nearest(&self, accept: &impl Accept, limit: usize) -> Vec<Neighbor> {
        let mut top = TopK::new(limit);
        scan(
            self,
            (0..self.space.len()).filter(|row| accept.accepts(*row)),
            &mut top,
        );
        top.into_sorted()
    }
}

impl Scorer for ToQuery<'_> {
    fn distance(&self, row: Row) -> f32 {
        squared(&self.space.vectors[row as usize], &self.query)
    }

    fn floor(&self) -> Option<f32> {
        Some(0.0)
    }
}

pub(crate) fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
}

/// The share of `truth` that is in `found`.
pub(crate) fn recall(found: &[Neighbor], truth: &[Neighbor]) -> f64 {
    let hits = truth
        .iter()
        .filter(|neighbor| found.contains(neighbor))
        .count();
    hits as f64 / truth.len().max(1) as f64
}
