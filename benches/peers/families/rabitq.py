"""rabitqlib: the graph SymphonyQG and the inverted file, both with vectors to rerank by."""

import math

import numpy
import rabitqlib

from families import EFS, Engine, K
from machine import bytes_below

# Out edges of a node of SymphonyQG, in blocks of 32 codes.
DEGREE = 32
EF_CONSTRUCTION = 200
# Stands for float32 vectors instead of codes.
RAW_BITS = 32
ITERATIONS = 25


class SymphonyQG(Engine):
    sweep = EFS

    def build(self, base, threads):
        self.index = rabitqlib.SymqgIndex(dim=self.dim, max_degree=DEGREE, metric="ip")
        self.index.build(base, EF_CONSTRUCTION, num_threads=threads)

    def stored_bytes(self):
        path = self.directory / "index"
        self.index.save(str(path))
        return bytes_below(path)

    def ask(self, query):
        return self.index.search(query, K, self.setting)

    def ids(self, answer):
        return numpy.asarray(answer[0]).ravel().tolist()


class Ivf(Engine):
    sweep = [4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]

    def build(self, base, threads):
        lists = max(1, min(4 * math.isqrt(len(base)), len(base) // 40))
        kmeans = rabitqlib.RaBitQKMeans(
            self.dim, lists, num_threads=threads, niter=ITERATIONS, spherical=True
        )
        kmeans.train(base)
        self.index = rabitqlib.IvfIndex(
            dim=self.dim, max_elements=len(base), num_clusters=lists, nbits=RAW_BITS, metric="ip"
        )
        self.index.build(base, kmeans.centroids, kmeans.assignments, num_threads=threads)
        self.sweep = [probes for probes in Ivf.sweep if probes <= lists]

    def stored_bytes(self):
        path = self.directory / "index"
        self.index.save(str(path))
        return bytes_below(path)

    def ask(self, query):
        return self.index.search(query, K, self.setting)

    def ids(self, answer):
        return numpy.asarray(answer[0]).ravel().tolist()
