"""zvec: HNSW over vectors, HNSW over int8 and an inverted file of RaBitQ codes, both refined."""

import zvec

from families import Engine, K, M
from machine import bytes_below, cpu_seconds

BATCH = 1_000
FIELD = "v"
EF_CONSTRUCTION = 200
BITS = 7


class Zvec(Engine):
    def __init__(self, dim, directory, kind):
        super().__init__(dim, directory)
        self.kind = kind
        if kind == "ivf":
            self.sweep = [4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]

    def param(self, rows):
        by = zvec.MetricType.COSINE
        if self.kind == "ivf":
            lists = max(1, min(1_024, rows // 40))
            self.sweep = [probes for probes in self.sweep if probes <= lists]
            return zvec.IvfRabitqIndexParam(metric_type=by, nlist=lists, total_bits=BITS)
        types = zvec.QuantizeType
        return zvec.HnswIndexParam(
            metric_type=by,
            m=M,
            ef_construction=EF_CONSTRUCTION,
            quantize_type=types.INT8 if self.kind == "int8" else types.UNDEFINED,
        )

    def build(self, base, threads):
        zvec.init(log_level=zvec.LogLevel.ERROR, query_threads=1, optimize_threads=threads)
        field = zvec.VectorSchema(
            FIELD, zvec.DataType.VECTOR_FP32, self.dim, index_param=self.param(len(base))
        )
        schema = zvec.CollectionSchema(name="peer", vectors=field)
        path = str(self.directory / "collection")
        self.collection = zvec.create_and_open(path=path, schema=schema)
        before = cpu_seconds()
        for start in range(0, len(base), BATCH):
            rows = range(start, min(start + BATCH, len(base)))
            made = [zvec.Doc(id=str(at), vectors={FIELD: base[at].tolist()}) for at in rows]
            self.collection.insert(made)
        self.collection.flush()
        self.load_cpu_s = cpu_seconds() - before
        self.collection.optimize(zvec.OptimizeOption(concurrency=threads))

    def stored_bytes(self):
        return bytes_below(self.directory / "collection")

    def apply(self, setting):
        if self.kind == "ivf":
            self.params = zvec.IvfRabitqQueryParam(nprobe=setting, is_using_refiner=True)
        else:
            refined = self.kind == "int8"
            self.params = zvec.HnswQueryParam(ef=setting, is_using_refiner=refined)

    def prepare(self, vector):
        return zvec.Query(field_name=FIELD, vector=vector, param=self.params)

    def ask(self, query):
        return self.collection.query(queries=query, topk=K, output_fields=[])

    def ids(self, answer):
        return [int(doc.id) for doc in answer]
