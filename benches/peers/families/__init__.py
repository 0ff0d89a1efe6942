"""The peers: one file a family of engines, each with the variants that are measured.

An engine has `sweep` (its settings, from fast to accurate) and

- `build(base, threads)`: makes the index of float32 rows of unit length;
- `stored_bytes()`: the index in bytes as the engine stores it, outside of the clock;
- `apply(setting)`, then `prepare(vector)` of all queries outside of the clock, then `ask(query)`
  with what that made: one query a call on one thread, as the library's own interface allows;
- `ids(answer)`: the row numbers in what `ask` gave, outside of the clock;
- `load_cpu_s`: where rows go in before an index is made of them, seconds of CPU that took.
"""

import importlib

K = 10
M = 16
EFS = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]

# Name of an engine: module, class, arguments, what a reader is told.
FAMILIES = {
    "edge-f32": ("edge", "Edge", ["none"], "qdrant-edge, no quantization"),
    "edge-int8": ("edge", "Edge", ["int8"], "qdrant-edge, int8, rescored"),
    "edge-turbo4": ("edge", "Edge", ["turbo4"], "qdrant-edge, TurboQuant 4 bit, rescored"),
    "edge-turbo2": ("edge", "Edge", ["turbo2"], "qdrant-edge, TurboQuant 2 bit, rescored"),
    "edge-turbo1": ("edge", "Edge", ["turbo1"], "qdrant-edge, TurboQuant 1 bit, rescored"),
    "edge-binary": ("edge", "Edge", ["binary"], "qdrant-edge, binary, rescored"),
    "edge-product": ("edge", "Edge", ["product"], "qdrant-edge, product x16, rescored"),
    "hnswlib-100": ("hnsw", "Hnswlib", [100], "hnswlib, efc 100"),
    "hnswlib-200": ("hnsw", "Hnswlib", [200], "hnswlib, efc 200"),
    "symqg": ("rabitq", "SymphonyQG", [], "rabitqlib SymphonyQG"),
    "rabitq-ivf": ("rabitq", "Ivf", [], "rabitqlib IVF, raw vectors reranked"),
    "faiss-hnsw": ("faiss_cpu", "Hnsw", ["flat"], "faiss HNSW16 Flat"),
    "faiss-sq8": ("faiss_cpu", "Hnsw", ["sq8"], "faiss HNSW16 SQ8"),
    "usearch-f32": ("usearch_index", "Usearch", ["f32"], "usearch f32"),
    "usearch-i8": ("usearch_index", "Usearch", ["i8"], "usearch i8"),
    "zvec-hnsw": ("zvec_collection", "Zvec", ["hnsw"], "zvec HNSW"),
    "zvec-hnsw-int8": ("zvec_collection", "Zvec", ["int8"], "zvec HNSW int8, refined"),
    "zvec-ivf": ("zvec_collection", "Zvec", ["ivf"], "zvec IVF RaBitQ 7 bit, refined"),
    "vsag-hgraph": ("vsag", "Hgraph", [], "vsag hgraph sq8_uniform, fp32 reordered"),
    "scann": ("scann_tree", "Scann", [], "scann tree-AH, reordered"),
    "svs-f16": ("svs_vamana", "Svs", [], "svs Vamana f16"),
}


def load(name):
    """A function (dim, directory) that makes the engine; imports its library."""
    module, kind, arguments, _ = FAMILIES[name]
    made = getattr(importlib.import_module(f"families.{module}"), kind)
    return lambda dim, directory: made(dim, directory, *arguments)


class Engine:
    """What engines have in common."""

    sweep = EFS
    load_cpu_s = None

    def __init__(self, dim, directory):
        self.dim, self.directory, self.setting = dim, directory, None

    def apply(self, setting):
        self.setting = setting

    def prepare(self, vector):
        return vector.reshape(1, -1)

    def ids(self, answer):
        return answer
