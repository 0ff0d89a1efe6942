"""scann: a tree of partitions with anisotropic codes, the last candidates reordered by float32."""

import math

import scann

from families import Engine, K
from machine import bytes_below

REORDER = [50, 100, 200]


class Scann(Engine):
    """Settings: leaves that are searched, candidates that are compared exactly."""

    def build(self, base, threads):
        leaves = max(1, min(2 * math.isqrt(len(base)), len(base) // 40))
        builder = scann.scann_ops_pybind.builder(base, K, "dot_product")
        builder = builder.tree(leaves, max(1, leaves // 10), training_sample_size=len(base))
        builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2)
        builder = builder.reorder(max(REORDER))
        self.index = builder.set_n_training_threads(threads).build()
        probes = [4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256]
        self.sweep = [[wide, deep] for wide in probes if wide <= leaves for deep in REORDER]

    def stored_bytes(self):
        path = self.directory / "index"
        path.mkdir()
        self.index.serialize(str(path))
        return bytes_below(path)

    def apply(self, setting):
        self.leaves, self.reorder = setting

    def prepare(self, vector):
        return vector

    def ask(self, query):
        return self.index.search(
            query,
            final_num_neighbors=K,
            pre_reorder_num_neighbors=self.reorder,
            leaves_to_search=self.leaves,
        )

    def ids(self, answer):
        return answer[0].tolist()
