"""Filters of 1 % on fields without an index: Cairn over HTTP beside qdrant-edge in process.

    unindexed.py --bin DIR --data DIR [--rows N] [--fields 4] [--repeats 20] [--out FILE]

The payloads are those of the data with some uniform integers and some words, one of 100, added; no
field has an index. Of each field the first search with a filter is told apart from the next ones:
it finds nothing in memory. A second server keeps nothing in memory, so that every search of it is
a first one. One request at a time; what is compared is the time of a search for 10 points.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy

import server
from dataset import K, Data, prepare

NUMBERS = 10_000
WORDS = 100
SHARE = 100
SEED = 5
NOTHING_KEPT = {"CAIRN__STORAGE__DERIVED_COLUMNS_MB": "0"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=Path, help="directory of the program `cairn`")
    parser.add_argument("--data", required=True, type=Path, help="directory of real embeddings")
    parser.add_argument("--rows", type=int, help="the first rows only")
    parser.add_argument("--fields", type=int, default=4, help="fields of each type")
    parser.add_argument("--repeats", type=int, default=20, help="searches after the first")
    parser.add_argument("--out", type=Path, help="where to write the figures, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = run(options, Path(scratch))
    text = json.dumps(figures, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


def run(options, scratch):
    prepare(options.data, options.rows, None, 1_000, scratch / "data")
    data = Data(scratch / "data")
    payloads, filters = with_fields(data, options.fields)
    sides = [
        Cairn("Cairn", options, scratch / "kept", data, payloads),
        Cairn("Cairn, nothing kept", options, scratch / "bare", data, payloads, NOTHING_KEPT),
        Edge(scratch / "edge", data, payloads),
    ]
    for side in sides:
        side.connect()
    figures = {"rows": data.rows, "load": os.getloadavg()[0], "fields": {}}
    random = numpy.random.default_rng(SEED)
    for name, conditions, wanted in filters:
        order = random.integers(0, len(data.queries), size=options.repeats + 1)
        measured = {side.name: [] for side in sides}
        hits = {side.name: 0 for side in sides}
        for condition, rows in zip(conditions, wanted):
            # By turns, so that whatever else the machine does slows all sides down.
            taken = {side.name: [] for side in sides}
            for at in order:
                exact = best(rows, data, data.queries[at])
                for side in sides:
                    ms, ids = side.ask(data.queries[at], condition)
                    taken[side.name].append(ms)
                    hits[side.name] += len(exact.intersection(ids))
            for side in sides:
                measured[side.name].append(taken[side.name])
        asked = K * len(order) * len(conditions)
        figures["fields"][name] = table(measured, {side: n / asked for side, n in hits.items()})
    for side in sides:
        side.close()
    return figures


def table(measured, recall):
    out = {}
    edge = statistics.median(ms for field in measured["qdrant-edge"] for ms in field)
    for side, fields in measured.items():
        first = statistics.median(field[0] for field in fields)
        later = statistics.median(ms for field in fields for ms in field[1:])
        out[side] = {
            "first_ms": round(first, 3),
            "later_ms": round(later, 3),
            "edge_by_first": round(edge / first, 1),
            "edge_by_later": round(edge / later, 1),
            "recall": round(recall[side], 4),
        }
    return out


def with_fields(data, count):
    """The payloads, and of each type its conditions and the rows that match each."""
    random = numpy.random.default_rng(SEED)
    numbers = random.integers(0, NUMBERS, size=(count, data.rows))
    words = random.integers(0, WORDS, size=(count, data.rows))
    payloads = data.payloads()[: data.rows]
    for row, payload in enumerate(payloads):
        for at in range(count):
            payload[f"number{at}"] = int(numbers[at, row])
            payload[f"word{at}"] = f"word {words[at, row]}"
    below = NUMBERS // SHARE
    ranges = [{"key": f"number{at}", "range": {"lt": below}} for at in range(count)]
    equal = [{"key": f"word{at}", "match": {"value": "word 7"}} for at in range(count)]
    return payloads, [
        ("integer, range", ranges, [numpy.flatnonzero(line < below) for line in numbers]),
        ("keyword, match", equal, [numpy.flatnonzero(line == 7) for line in words]),
    ]


def best(rows, data, query):
    scores = data.base[rows] @ query
    return set(rows[numpy.argsort(-scores)[:K]].tolist())


class Cairn:
    def __init__(self, name, options, at, data, payloads, environment=None):
        self.name = name
        at.mkdir()
        self.node = server.Server(options.bin, at, environment)
        self.node.start()
        self.client = server.Client(self.node.port, "unindexed")
        self.client.create(data.dim, {})
        self.client.upload(server.bodies(data.base, payloads))
        self.client.wait_green()

    def connect(self):
        """Anew: the server has closed a connection on which nothing happened for a minute."""
        self.client = server.Client(self.node.port, "unindexed")

    def ask(self, query, condition):
        body = server.query_body(query, K, None, {"must": [condition]})
        start = time.perf_counter()
        answer = self.client.send("POST", "/points/query", body)
        ms = (time.perf_counter() - start) * 1e3
        return ms, [point["id"] for point in answer["points"]]

    def close(self):
        self.node.kill()


class Edge:
    name = "qdrant-edge"

    def __init__(self, at, data, payloads):
        from families import edge

        self.edge = edge
        self.shard = edge.shard(at, data.dim, segments=1)
        for operation in edge.upserts(data.base, payloads):
            self.shard.update(operation)
        self.shard.flush()
        self.shard.optimize()

    def ask(self, query, condition):
        qe = self.edge.qe
        key = condition["key"]
        if "range" in condition:
            field = qe.FieldCondition(key, range=qe.RangeFloat(lt=condition["range"]["lt"]))
        else:
            field = qe.FieldCondition(key, match=qe.MatchValue(condition["match"]["value"]))
        asked = qe.SearchRequest(self.edge.vector_query(query), K, filter=qe.Filter(must=[field]))
        start = time.perf_counter()
        answer = self.shard.search(asked)
        return (time.perf_counter() - start) * 1e3, [point.id for point in answer]

    def connect(self):
        pass

    def close(self):
        pass


if __name__ == "__main__":
    main()
