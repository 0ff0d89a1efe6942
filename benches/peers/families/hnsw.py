"""hnswlib."""

import hnswlib
import numpy

from families import Engine, K, M
from machine import bytes_below


class Hnswlib(Engine):
    def __init__(self, dim, directory, ef_construction):
        super().__init__(dim, directory)
        self.ef_construction = ef_construction

    def build(self, base, threads):
        self.index = hnswlib.Index(space="cosine", dim=self.dim)
        self.index.init_index(len(base), ef_construction=self.ef_construction, M=M)
        self.index.add_items(base, numpy.arange(len(base)), num_threads=threads)
        self.index.set_num_threads(1)

    def stored_bytes(self):
        path = self.directory / "index"
        self.index.save_index(str(path))
        return bytes_below(path)

    def apply(self, setting):
        self.index.set_ef(setting)

    def ask(self, query):
        return self.index.knn_query(query, k=K)

    def ids(self, answer):
        return answer[0][0].tolist()
