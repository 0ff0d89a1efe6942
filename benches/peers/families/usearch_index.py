"""usearch, unum-cloud/usearch."""

import numpy
from usearch.index import Index

from families import EFS, Engine, K, M
from machine import bytes_below


class Usearch(Engine):
    sweep = EFS

    def __init__(self, dim, directory, kind):
        super().__init__(dim, directory)
        self.kind = kind

    def build(self, base, threads):
        self.index = Index(
            ndim=self.dim, metric="cos", dtype=self.kind, connectivity=M, expansion_add=128
        )
        self.index.add(numpy.arange(len(base)), base, threads=threads)

    def stored_bytes(self):
        path = self.directory / "index"
        self.index.save(str(path))
        return bytes_below(path)

    def apply(self, setting):
        self.index.expansion_search = setting

    def prepare(self, vector):
        return vector

    def ask(self, query):
        return self.index.search(query, K, threads=1)

    def ids(self, answer):
        return answer.keys.tolist()
