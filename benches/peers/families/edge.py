"""qdrant-edge, Qdrant's own engine in process."""

import qdrant_edge as qe

from families import EFS, Engine, K, M
from machine import bytes_below, cpu_seconds

BATCH = 1_000
EF_CONSTRUCT = 100
# How many candidates are compared exactly for each wanted row: the fewer bits, the more it takes.
OVERSAMPLING = {
    "int8": [1.0, 2.0, 4.0],
    "turbo4": [1.0, 2.0, 4.0],
    "turbo2": [2.0, 4.0, 8.0, 16.0],
    "turbo1": [4.0, 16.0, 48.0, 96.0],
    "binary": [4.0, 16.0, 48.0, 96.0],
    "product": [4.0, 16.0, 48.0, 96.0],
}



def quantization(kind):
    bits = qe.TurboQuantBitSize
    made = {
        "none": lambda: None,
        "int8": lambda: qe.ScalarQuantizationConfig(qe.ScalarType.Int8, always_ram=True),
        "binary": lambda: qe.BinaryQuantizationConfig(always_ram=True),
        "turbo4": lambda: qe.TurboQuantQuantizationConfig(always_ram=True, bits=bits.Bits4),
        "turbo2": lambda: qe.TurboQuantQuantizationConfig(always_ram=True, bits=bits.Bits2),
        "turbo1": lambda: qe.TurboQuantQuantizationConfig(always_ram=True, bits=bits.Bits1),
        "product": lambda: qe.ProductQuantizationConfig(qe.CompressionRatio.X16, always_ram=True),
    }
    return made[kind]()


def shard(directory, dim, kind="none", threads=None, segments=None):
    """An empty one, searched by one thread. Graphs whatever the size; without `segments` as many
    as the engine likes, which builds faster than one and is slower to search."""
    vectors = qe.EdgeVectorParams(size=dim, distance=qe.Distance.Cosine)
    config = qe.EdgeConfig(
        vectors=vectors,
        quantization_config=quantization(kind),
        max_search_threads=1,
        hnsw_config=qe.HnswIndexConfig(M, EF_CONSTRUCT, 10_000, threads or 0),
        optimizers=qe.EdgeOptimizersConfig(default_segment_number=segments, indexing_threshold=1),
    )
    directory.mkdir(parents=True, exist_ok=True)
    return qe.EdgeShard.create(str(directory), config)


def upserts(base, payloads=None):
    """Operations of a batch each."""

    def point(at):
        return qe.Point(at, base[at].tolist(), payloads[at] if payloads else None)

    for start in range(0, len(base), BATCH):
        points = [point(at) for at in range(start, min(start + BATCH, len(base)))]
        yield qe.UpdateOperation.upsert_points(points)


def vector_query(vector):
    return qe.Query.Nearest(vector.tolist())


class Edge(Engine):
    """Settings: the width of the beam, with codes also the oversampling."""

    def __init__(self, dim, directory, kind):
        super().__init__(dim, directory)
        self.kind = kind
        if kind != "none":
            # The beam is at least as wide as what is compared exactly: less would be the same.
            pairs = [[ef, over] for over in OVERSAMPLING[kind] for ef in EFS if ef >= over * K]
            self.sweep = sorted(pairs)

    def build(self, base, threads):
        self.shard = shard(self.directory / "shard", self.dim, self.kind, threads, segments=1)
        before = cpu_seconds()
        for operation in upserts(base):
            self.shard.update(operation)
        self.shard.flush()
        # Making the points is Python's work, so that all of this is told apart.
        self.load_cpu_s = cpu_seconds() - before
        self.shard.optimize()
        count = self.shard.info().indexed_vectors_count
        if count != len(base):
            raise RuntimeError(f"{count} of {len(base)} vectors are in a graph")

    def stored_bytes(self):
        return bytes_below(self.directory / "shard")

    def apply(self, setting):
        if self.kind == "none":
            self.params = qe.SearchParams(hnsw_ef=setting)
            return
        ef, over = setting
        rescored = qe.QuantizationSearchParams(rescore=True, oversampling=over)
        self.params = qe.SearchParams(hnsw_ef=ef, quantization=rescored)

    def prepare(self, vector):
        return qe.SearchRequest(vector_query(vector), K, params=self.params)

    def ask(self, query):
        return self.shard.search(query)

    def ids(self, answer):
        return [point.id for point in answer]
