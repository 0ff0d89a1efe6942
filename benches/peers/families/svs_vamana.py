"""Scalable Vector Search: a Vamana graph over float16."""

import numpy
import svs

from families import EFS, Engine, K
from machine import bytes_below


class Svs(Engine):
    sweep = EFS

    def build(self, base, threads):
        parameters = svs.VamanaBuildParameters(
            graph_max_degree=32, window_size=200, alpha=0.95
        )
        half = base.astype(numpy.float16)
        distance = svs.DistanceType.MIP
        self.index = svs.Vamana.build(parameters, half, distance, num_threads=threads)
        self.index.num_threads = 1

    def stored_bytes(self):
        paths = [str(self.directory / name) for name in ("config", "graph", "data")]
        self.index.save(*paths)
        return sum(bytes_below(path) for path in paths)

    def apply(self, setting):
        self.index.search_window_size = setting

    def prepare(self, vector):
        return vector.astype(numpy.float16).reshape(1, -1)

    def ask(self, query):
        return self.index.search(query, K)

    def ids(self, answer):
        return answer[0][0].tolist()
