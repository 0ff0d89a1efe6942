//! Nanoseconds a distance: every kernel of `quant` on every instruction set of this machine.
//!
//! `cargo bench -p benches --bench kernels [filter]`; the names are `way/metric/element/isa/dim`.
//! The ways: `one` (a call a row), `block` (one call for rows side by side), `gather` (one call for
//! 32 rows by number) and `pair`, over rows that stay in the second-level cache; `cold_block` and
//! `cold_gather`, over rows in memory. The time shown is of one distance, not of one call.
//!
//! Codes: `code_block` (a row of a block of 32 of one bit), `code_row` (a row by itself) and
//! `code_query` (preparing one), with the bits in place of metric and element.
//!
//! Product codes: `product_block`, `product_gather`, `product_encode` (a row) and `product_query`
//! (one), with the compression in place of metric and element.

#![expect(
    clippy::expect_used,
    reason = "a measurement has no one to return an error to"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use quant::{
    BLOCK_ROWS, BlockBuilder, BlockEstimates, CodeBits, CodeMetric, CodeQuery, CodeSpace,
    Compression, Element, Encoder, Isa, Metric, Pairwise, ProductCodebook, ProductQuery,
    ProductShape, Query, RotatedQuery, Rotation, SignRows,
};

const DIMS: [usize; 3] = [384, 768, 1536];

/// Every kernel once; Cosine over floats is Dot.
const KERNELS: [(Metric, Element); 10] = [
    (Metric::Dot, Element::F32),
    (Metric::Euclid, Element::F32),
    (Metric::Manhattan, Element::F32),
    (Metric::Dot, Element::F16),
    (Metric::Euclid, Element::F16),
    (Metric::Manhattan, Element::F16),
    (Metric::Dot, Element::U8),
    (Metric::Euclid, Element::U8),
    (Metric::Manhattan, Element::U8),
    (Metric::Cosine, Element::U8),
];

/// Bytes of rows that stay in a second-level cache of 1 MiB beside everything else.
const WARM_BYTES: usize = 256 << 10;

/// Bytes of rows beyond any cache.
const COLD_BYTES: usize = 512 << 20;

/// Rows a gather is asked for: the neighbours of a node.
const GATHERED: usize = 32;

/// Bytes of a chunk of rows that one pass over cold rows reads.
const CHUNK_BYTES: usize = 1 << 20;

/// Rows side by side from a 64-byte boundary, as parts and memtables keep them, and a query.
struct Rows {
    buffer: Vec<u8>,
    start: usize,
    len: usize,
    count: usize,
    query: Vec<f32>,
}

impl Rows {
    fn new(element: Element, dim: usize, bytes: usize) -> Self {
        let mut some = Vec::new();
        for n in 0..64 {
            let vector = vector(element, dim, n);
            quant::encode_row(Metric::Dot, element, &vector, &mut some).expect("values fit");
        }
        let len = dim * element.size();
        let count = bytes / len;
        let mut buffer = vec![0; count * len + 63];
        let start = buffer.as_ptr().align_offset(64);
        for rows in buffer[start..start + count * len].chunks_mut(some.len()) {
            rows.copy_from_slice(&some[..rows.len()]);
        }
        let query = vector(element, dim, 1_000);
        Self {
            buffer,
            start,
            len,
            count,
            query,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.count * self.len]
    }

    fn row(&self, n: usize) -> &[u8] {
        &self.bytes()[n * self.len..][..self.len]
    }
}

/// Values of all sizes that the element has: -0.5 to 0.5, or bytes.
fn vector(element: Element, dim: usize, n: usize) -> Vec<f32> {
    let byte = |i: usize| (i.wrapping_mul(2_654_435_761).wrapping_add(n * 40_503) >> 7) % 256;
    let value = |i: usize| match element {
        Element::U8 => byte(i) as f32,
        Element::F32 | Element::F16 => byte(i) as f32 / 256.0 - 0.5,
    };
    (0..dim).map(value).collect()
}

/// The time of `iters` distances, taken over whole passes of `rows` distances.
#[expect(clippy::disallowed_methods, reason = "measures")]
fn time(iters: u64, rows: usize, mut pass: impl FnMut()) -> Duration {
    let passes = iters.div_ceil(rows as u64);
    let start = Instant::now();
    for _ in 0..passes {
        pass();
    }
    start
        .elapsed()
        .mul_f64(iters as f64 / (passes * rows as u64) as f64)
}

fn warm(c: &mut Criterion) {
    for (metric, element) in KERNELS {
        for isa in Isa::available() {
            for dim in DIMS {
                warm_ways(c, (metric, element), isa, dim);
            }
        }
    }
}

fn name(way: &str, (metric, element): (Metric, Element), isa: Isa, dim: usize) -> String {
    format!("{way}/{metric:?}/{element:?}/{isa}/{dim}")
}

fn warm_ways(c: &mut Criterion, kernel: (Metric, Element), isa: Isa, dim: usize) {
    let (metric, element) = kernel;
    let rows = Rows::new(element, dim, WARM_BYTES);
    let count = rows.count;
    let query = Query::with_isa(isa, metric, element, dim, &rows.query).expect("values fit");
    let mut out = vec![0.0; count];

    c.bench_function(&name("one", kernel, isa, dim), |b| {
        b.iter_custom(|iters| {
            time(iters, count, || {
                for (n, distance) in out.iter_mut().enumerate() {
                    *distance = query.distance(rows.row(n));
                }
                black_box(&mut out);
            })
        });
    });
    c.bench_function(&name("block", kernel, isa, dim), |b| {
        b.iter_custom(|iters| {
            time(iters, count, || {
                query.distances(rows.bytes(), rows.len, &mut out);
                black_box(&mut out);
            })
        });
    });
    c.bench_function(&name("gather", kernel, isa, dim), |b| {
        let lists = lists(count, 64);
        let mut next = lists.iter().cycle();
        b.iter_custom(|iters| {
            time(iters, GATHERED, || {
                let list = next.next().expect("a cycle has no end");
                query.distances_gather(rows.bytes(), rows.len, list, &mut out[..GATHERED]);
                black_box(&mut out);
            })
        });
    });
    c.bench_function(&name("pair", kernel, isa, dim), |b| {
        let pairwise = Pairwise::with_isa(isa, metric, element, dim);
        b.iter_custom(|iters| {
            time(iters, count, || {
                for (n, distance) in out.iter_mut().enumerate() {
                    *distance = pairwise.distance(rows.row(0), rows.row(n));
                }
                black_box(&mut out);
            })
        });
    });
}

/// `lists` lists of row numbers below `count`, drawn by SplitMix64.
fn lists(count: usize, lists: usize) -> Vec<[u32; GATHERED]> {
    let mut state = 7u64;
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % count as u64) as u32
    };
    (0..lists)
        .map(|_| std::array::from_fn(|_| draw()))
        .collect()
}

fn cold(c: &mut Criterion) {
    for element in [Element::F32, Element::F16, Element::U8] {
        for dim in DIMS {
            let rows = Rows::new(element, dim, COLD_BYTES);
            for isa in Isa::available() {
                cold_ways(c, &rows, element, isa, dim);
            }
        }
    }
}

fn cold_ways(c: &mut Criterion, rows: &Rows, element: Element, isa: Isa, dim: usize) {
    let kernel = (Metric::Dot, element);
    let query = Query::with_isa(isa, Metric::Dot, element, dim, &rows.query).expect("values fit");

    // Both go on where the last sample ended: one that began anew would find its rows cached.
    let chunk = CHUNK_BYTES / rows.len;
    let mut chunks = rows.bytes().chunks_exact(chunk * rows.len).cycle();
    let mut out = vec![0.0; chunk];
    c.bench_function(&name("cold_block", kernel, isa, dim), |b| {
        b.iter_custom(|iters| {
            time(iters, chunk, || {
                let chunk = chunks.next().expect("a cycle has no end");
                query.distances(chunk, rows.len, &mut out);
                black_box(&mut out);
            })
        });
    });
    let lists = lists(rows.count, 1 << 14);
    let mut next = lists.iter().cycle();
    c.bench_function(&name("cold_gather", kernel, isa, dim), |b| {
        b.iter_custom(|iters| {
            time(iters, GATHERED, || {
                let list = next.next().expect("a cycle has no end");
                query.distances_gather(rows.bytes(), rows.len, list, &mut out[..GATHERED]);
                black_box(&mut out);
            })
        });
    });
}

fn codes(c: &mut Criterion) {
    for bits in [
        CodeBits::One,
        CodeBits::Two,
        CodeBits::Four,
        CodeBits::Eight,
    ] {
        for isa in Isa::available() {
            for dim in DIMS {
                code_ways(c, bits, isa, dim);
            }
        }
    }
}

/// Blocks estimated by one call.
const RUN: usize = 16;

fn code_ways(c: &mut Criterion, bits: CodeBits, isa: Isa, dim: usize) {
    let name = |way: &str| format!("code_{way}/{bits:?}/{isa}/{dim}");
    let vectors: Vec<Vec<f32>> = (0..64).map(|n| vector(Element::F32, dim, n)).collect();
    let rotation = Rotation::new(dim, 1);
    let space = CodeSpace::of_sample(rotation, vectors.iter().map(|v| &v[..]));
    let encoder = &mut Encoder::new(&space, CodeMetric::Dot, bits);
    let mut block = BlockBuilder::new(space.padded());
    let (mut rows, mut blocks) = (Vec::new(), Vec::new());
    let block_len = BlockBuilder::block_len(space.padded());
    let row_len = bits.row_len(space.padded()).max(block_len / BLOCK_ROWS);
    for vector in vectors.iter().cycle().take(WARM_BYTES / row_len) {
        encoder.encode(vector, &mut block, &mut rows);
        if block.is_full() {
            block.finish(&mut blocks);
        }
    }
    let rotated = RotatedQuery::new(space.rotation(), &vector(Element::F32, dim, 1_000));
    let query = CodeQuery::with_isa(isa, &space, (CodeMetric::Dot, bits), &rotated, 1.9);
    c.bench_function(&name("query"), |b| {
        let kind = (CodeMetric::Dot, bits);
        b.iter(|| CodeQuery::with_isa(isa, &space, kind, black_box(&rotated), 1.9));
    });
    if bits == CodeBits::One {
        let mut out = BlockEstimates::default();
        c.bench_function(&name("block"), |b| {
            b.iter_custom(|iters| {
                time(iters, blocks.len() / block_len * BLOCK_ROWS, || {
                    for block in blocks.chunks_exact(block_len) {
                        black_box(query.block(block, 0.0, &mut out));
                    }
                    black_box(&mut out);
                })
            });
        });
        let mut run = vec![BlockEstimates::default(); blocks.len() / block_len];
        c.bench_function(&name("blocks"), |b| {
            b.iter_custom(|iters| {
                time(iters, blocks.len() / block_len * BLOCK_ROWS, || {
                    for blocks in blocks.chunks(RUN * block_len) {
                        let run = &mut run[..blocks.len() / block_len];
                        query.blocks(blocks, 0.0, false, run);
                    }
                    black_box(&mut run);
                })
            });
        });
        let signs = SignRows::of_blocks(blocks.chunks_exact(block_len), space.padded());
        let count = blocks.len() / block_len * BLOCK_ROWS;
        c.bench_function(&name("row"), |b| {
            b.iter_custom(|iters| {
                time(iters, count, || {
                    for row in 0..count {
                        black_box(query.signs(&signs, row));
                    }
                })
            });
        });
        return;
    }
    c.bench_function(&name("row"), |b| {
        b.iter_custom(|iters| {
            time(iters, rows.len() / row_len, || {
                for row in rows.chunks_exact(row_len) {
                    black_box(query.row_lower(row));
                }
            })
        });
    });
}

fn product(c: &mut Criterion) {
    for compression in Compression::ALL {
        for isa in Isa::available() {
            for dim in DIMS {
                product_ways(c, compression, isa, dim);
            }
        }
    }
}

fn product_ways(c: &mut Criterion, compression: Compression, isa: Isa, dim: usize) {
    let name = |way: &str| format!("product_{way}/{compression:?}/{isa}/{dim}");
    let shape = ProductShape::of(dim, compression);
    // As many numbers as coordinates times centroids: what they are makes no difference here.
    let stored: Vec<f32> = (0..256)
        .flat_map(|n| vector(Element::F32, dim, n))
        .collect();
    let codebook = ProductCodebook::with_isa(isa, shape, 256, &stored);
    let vector = vector(Element::F32, dim, 1_000);
    let query = ProductQuery::new(&codebook, Metric::Dot, &vector);
    let count = WARM_BYTES / shape.row_len();
    let codes: Vec<u8> = (0..count * shape.row_len())
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let mut out = vec![0.0; count];
    c.bench_function(&name("block"), |b| {
        b.iter_custom(|iters| {
            time(iters, count, || {
                query.distances(&codes, &mut out);
                black_box(&mut out);
            })
        });
    });
    c.bench_function(&name("gather"), |b| {
        let lists = lists(count, 64);
        let mut next = lists.iter().cycle();
        b.iter_custom(|iters| {
            time(iters, GATHERED, || {
                let list = next.next().expect("a cycle has no end");
                query.distances_gather(&codes, list, &mut out[..GATHERED]);
                black_box(&mut out);
            })
        });
    });
    c.bench_function(&name("encode"), |b| {
        let mut row = Vec::with_capacity(shape.row_len());
        b.iter(|| {
            row.clear();
            codebook.encode(black_box(&vector), &mut row);
        });
    });
    c.bench_function(&name("query"), |b| {
        b.iter(|| ProductQuery::new(&codebook, Metric::Dot, black_box(&vector)));
    });
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .sample_size(100)
        .nresamples(1_000)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(200));
    targets = warm, codes, cold, product
}
criterion_main!(kernels);
