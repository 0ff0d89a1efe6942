"""A larger and harder set out of real embeddings: paired.py --data DIR --out DIR [--copies 3]

Every vector of the set is two real ones side by side, of different texts; so is every query. A row
is near when both halves are, so the set has twice the dimensions and about twice the intrinsic
dimension of the real one, and no two rows are copies of each other. Copy k pairs row i with row p_k(i), p_k
being a random permutation. The answers are exact, over the float16 values that are written.
"""

import argparse
import gzip
from pathlib import Path

import numpy

K = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="directory of real embeddings")
    parser.add_argument("--out", required=True, type=Path, help="directory to make")
    parser.add_argument("--copies", type=int, default=3, help="rows of the set for each real one")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random = numpy.random.default_rng(options.seed)
    base = numpy.load(options.data / "base.f16.npy")
    queries = numpy.load(options.data / "queries.f16.npy")
    options.out.mkdir(parents=True, exist_ok=True)
    half = numpy.float16(numpy.sqrt(0.5))
    copies = [
        numpy.hstack([base, base[random.permutation(len(base))]]) * half
        for _ in range(options.copies)
    ]
    paired = numpy.vstack(copies)
    asked = numpy.hstack([queries, queries[random.permutation(len(queries))]]) * half
    numpy.save(options.out / "base.f16.npy", paired)
    numpy.save(options.out / "queries.f16.npy", asked)
    numpy.save(options.out / "truth.u32.npy", truth(paired, asked.astype(numpy.float32)))
    with gzip.open(options.data / "payload.jsonl.gz", "rb") as lines:
        payload = lines.read()
    with gzip.open(options.out / "payload.jsonl.gz", "wb", compresslevel=1) as out:
        for _ in range(options.copies):
            out.write(payload)
    print(f"{len(paired):,} rows of {paired.shape[1]}, {len(asked):,} queries, in {options.out}")


def truth(base, queries):
    """The rows with the largest cosine, best first, block after block."""
    best = numpy.full((len(queries), K), -numpy.inf, numpy.float32)
    rows = numpy.zeros((len(queries), K), numpy.uint32)
    for start in range(0, len(base), 50_000):
        block = base[start : start + 50_000].astype(numpy.float32)
        block /= numpy.linalg.norm(block, axis=1, keepdims=True)
        scores = numpy.hstack([best, queries @ block.T])
        numbers = numpy.arange(start, start + len(block), dtype=numpy.uint32)
        named = numpy.hstack([rows, numpy.broadcast_to(numbers, (len(queries), len(block)))])
        order = numpy.argsort(-scores, axis=1, kind="stable")[:, :K]
        best = numpy.take_along_axis(scores, order, axis=1)
        rows = numpy.take_along_axis(named, order, axis=1)
    return rows


if __name__ == "__main__":
    main()
