"""vsag: hgraph over codes of 8 bits, the last candidates reordered by float32."""

import json

import numpy
import pyvsag

from families import Engine, K
from machine import bytes_below


class Hgraph(Engine):
    def build(self, base, threads):
        parameters = {
            "dtype": "float32",
            "metric_type": "ip",
            "dim": self.dim,
            "index_param": {
                "base_quantization_type": "sq8_uniform",
                "use_reorder": True,
                "precise_quantization_type": "fp32",
                "max_degree": 32,
                "ef_construction": 200,
                "build_thread_count": threads,
            },
        }
        self.index = pyvsag.Index("hgraph", json.dumps(parameters))
        ids = numpy.arange(len(base), dtype=numpy.int64)
        self.index.build(base.ravel(), ids, len(base), self.dim)

    def stored_bytes(self):
        path = self.directory / "index"
        self.index.save(str(path))
        return bytes_below(path)

    def apply(self, setting):
        self.setting = json.dumps({"hgraph": {"ef_search": setting}})

    def prepare(self, vector):
        return vector

    def ask(self, query):
        return self.index.knn_search(query, K, self.setting)

    def ids(self, answer):
        # Distances and ids, in an order that has changed between versions.
        for array in answer:
            if numpy.asarray(array).dtype.kind in "iu":
                return numpy.asarray(array).ravel().tolist()
        raise TypeError("no ids in the answer")
