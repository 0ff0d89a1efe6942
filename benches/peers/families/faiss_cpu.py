"""faiss: HNSW over vectors as they are and over 8 bits a dimension."""

import faiss

from families import Engine, K, M
from machine import bytes_below

EF_CONSTRUCTION = 200


class Hnsw(Engine):
    def __init__(self, dim, directory, storage):
        super().__init__(dim, directory)
        self.storage = storage

    def build(self, base, threads):
        faiss.omp_set_num_threads(threads)
        by = faiss.METRIC_INNER_PRODUCT
        if self.storage == "sq8":
            bits = faiss.ScalarQuantizer.QT_8bit
            self.index = faiss.IndexHNSWSQ(self.dim, bits, M, by)
        else:
            self.index = faiss.IndexHNSWFlat(self.dim, M, by)
        self.index.hnsw.efConstruction = EF_CONSTRUCTION
        self.index.train(base)
        self.index.add(base)
        faiss.omp_set_num_threads(1)

    def stored_bytes(self):
        path = self.directory / "index"
        faiss.write_index(self.index, str(path))
        return bytes_below(path)

    def apply(self, setting):
        self.index.hnsw.efSearch = setting

    def ask(self, query):
        return self.index.search(query, K)

    def ids(self, answer):
        return answer[1][0].tolist()
