"""Filters of a stated share, uncorrelated with the vectors or against them, and exact answers.

`number` is a uniform integer: below a bound it matches a share of the rows, wherever they are.
`cluster` is the nearest of 1,000 centres by k-means: each query asks for the clusters farthest
from it until they hold the share, as a user does who looks for something where it is not.
"""

import numpy

import dataset
from dataset import K

CENTRES = 1_000
ITERATIONS = 10
NUMBERS = 10_000
UNIFORM = [50.0, 10.0, 1.0, 0.1, 0.01]
FAR = [50.0, 10.0, 1.0]
SEED = 3


class Filter:
    """A name, the condition of each query in the words of the REST interface, the exact ids."""

    def __init__(self, name, conditions, wanted, matching):
        self.name, self.conditions, self.wanted = name, conditions, wanted
        self.matching = int(numpy.median(matching))

    def recall(self, answers):
        return dataset.recall(self.wanted, answers)


def make(data, count):
    """The payload of each row, the queries that are asked, and the filters."""
    queries = data.queries[:count]
    numbers = numpy.random.default_rng(SEED).integers(0, NUMBERS, size=data.rows)
    centres, clusters = k_means(data.base, max(2, min(CENTRES, data.rows // 40)))
    payloads = [
        {"number": int(number), "cluster": int(cluster)}
        for number, cluster in zip(numbers, clusters)
    ]
    scores = queries @ data.base.T
    filters = [uniform(share, numbers, scores) for share in UNIFORM]
    filters += [far(share, centres, clusters, queries, scores) for share in FAR]
    return payloads, queries, [made for made in filters if made.matching]


def uniform(share, numbers, scores):
    bound = max(1, round(NUMBERS * share / 100.0))
    rows = numpy.flatnonzero(numbers < bound)
    wanted = [best(rows, line[rows]) for line in scores]
    condition = {"must": [{"key": "number", "range": {"lt": bound}}]}
    return Filter(f"{share:g} %", [condition] * len(scores), wanted, [len(rows)])


def far(share, centres, clusters, queries, scores):
    sizes = numpy.bincount(clusters, minlength=len(centres))
    conditions, wanted, matching = [], [], []
    for query, line in zip(queries, scores):
        order = numpy.argsort(centres @ query)
        enough = numpy.searchsorted(numpy.cumsum(sizes[order]), len(line) * share / 100.0) + 1
        chosen = order[:enough]
        inside = numpy.zeros(len(centres), bool)
        inside[chosen] = True
        rows = numpy.flatnonzero(inside[clusters])
        conditions.append({"must": [{"key": "cluster", "match": {"any": chosen.tolist()}}]})
        wanted.append(best(rows, line[rows]))
        matching.append(len(rows))
    return Filter(f"far {share:g} %", conditions, wanted, matching)


def best(rows, scores):
    if len(rows) > K:
        kept = numpy.argpartition(-scores, K)[:K]
        rows = rows[kept]
    return set(rows.tolist())


def k_means(base, count):
    """Unit centres, and the number of the nearest of each row."""
    random = numpy.random.default_rng(SEED)
    centres = numpy.array(base[numpy.sort(random.choice(len(base), count, replace=False))])
    for _ in range(ITERATIONS):
        nearest = assign(base, centres)
        sums = numpy.zeros_like(centres)
        numpy.add.at(sums, nearest, base)
        lengths = numpy.linalg.norm(sums, axis=1, keepdims=True)
        # A centre without rows stays where it is.
        centres = numpy.where(lengths > 0.0, sums / numpy.maximum(lengths, 1e-12), centres)
    return centres, assign(base, centres)


def assign(base, centres):
    blocks = range(0, len(base), dataset.BLOCK)
    nearest = [numpy.argmax(base[at : at + dataset.BLOCK] @ centres.T, axis=1) for at in blocks]
    return numpy.concatenate(nearest)
