"""Search under filters: Cairn over HTTP beside qdrant-edge in process, with ACORN and without."""

import tempfile
import time
from pathlib import Path

import curve
import filters
import server
from dataset import K

EFS = [64, 128, 256]
CONNECTIONS = [1, 4]
FIELDS = {"number": "integer", "cluster": "integer"}


def run(job):
    payloads, queries, made = filters.make(job.data, job.filtered_queries)
    out = {"queries": len(queries), "filters": {}, "failed": {}}
    for each in made:
        out["filters"][each.name] = {"matching": each.matching, "points": {}}
    with (
        tempfile.TemporaryDirectory(dir=job.scratch) as at,
        tempfile.TemporaryDirectory(dir=job.scratch) as other,
        server.Server(job.binaries, at) as node,
    ):
        client = server.Client(node.port, "filtered")
        client.create(job.data.dim, FIELDS)
        client.upload(server.bodies(job.data.base, payloads))
        out["segments"] = client.wait_green()["segments_count"]
        sides = [Cairn(node.port, connections) for connections in CONNECTIONS]
        try:
            sides += edges(job, Path(other), payloads)
        except ImportError as error:
            out["failed"]["edge"] = f"qdrant-edge: {error}"
        for each in made:
            points = out["filters"][each.name]["points"]
            passes = {side.name: [] for side in sides}
            for _ in range(job.repetitions):
                for side in sides:
                    passes[side.name].append(side.sweep(queries, each, job.quick))
            points.update({name: curve.medians(taken) for name, taken in passes.items()})
            job.say(f"filter {each.name}: " + "; ".join(brief(points)))
    return out


def brief(points):
    for name, measured in points.items():
        best = max(measured, key=lambda point: (round(point["recall"], 3), point["qps"]))
        yield f"{name} {best['recall']:.3f}, {best['qps']:,.0f}"


class Cairn:
    def __init__(self, port, connections):
        self.port, self.connections = port, connections
        self.name = f"Cairn, HTTP, {connections}"

    def sweep(self, queries, each, quick):
        return [self.measure(queries, each, ef) for ef in ([None] if quick else [None, *EFS])]

    def measure(self, queries, each, ef):
        params = {"hnsw_ef": ef} if ef else None
        bodies = [
            server.query_body(query, K, params, condition)
            for query, condition in zip(queries, each.conditions)
        ]
        path = "/collections/filtered/points/query"
        figures, answers = server.ask_all(self.port, path, bodies, self.connections)
        return {"setting": ef or "default", "recall": each.recall(answers), **figures}


def edges(job, at, payloads):
    """qdrant-edge without quantization, fields indexed before the graph is built."""
    from families import edge

    qe = edge.qe
    shard = edge.shard(at / "shard", job.data.dim, threads=job.threads, segments=1)
    for field in FIELDS:
        kind = qe.PayloadSchemaType.Integer
        shard.update(qe.UpdateOperation.create_field_index(field, kind))
    for operation in edge.upserts(job.data.base, payloads):
        shard.update(operation)
    shard.flush()
    shard.optimize()
    return [Edge(edge, shard, acorn) for acorn in (False, True)]


class Edge:
    def __init__(self, edge, shard, acorn):
        self.edge, self.shard, self.acorn = edge, shard, acorn
        self.name = "qdrant-edge, ACORN" if acorn else "qdrant-edge"

    def sweep(self, queries, each, quick):
        return [self.measure(queries, each, ef) for ef in (EFS[1:2] if quick else EFS)]

    def measure(self, queries, each, ef):
        qe = self.edge.qe
        # ACORN by itself stops where a filter matches more than 40 %.
        acorn = qe.AcornSearchParams(enable=True, max_selectivity=1.0) if self.acorn else None
        params = qe.SearchParams(hnsw_ef=ef, acorn=acorn)
        asked = [
            qe.SearchRequest(
                self.edge.vector_query(query), K, filter=self.condition(each), params=params
            )
            for query, each in zip(queries, each.conditions)
        ]
        times, answers = [], []
        start = time.perf_counter()
        for request in asked:
            before = time.perf_counter_ns()
            answers.append(self.shard.search(request))
            times.append(time.perf_counter_ns() - before)
        elapsed = time.perf_counter() - start
        times.sort()
        return {
            "setting": ef,
            "recall": each.recall([[point.id for point in answer] for answer in answers]),
            "qps": len(asked) / elapsed,
            "p50_us": times[len(times) // 2] / 1e3,
            "p99_us": times[min(len(times) - 1, len(times) * 99 // 100)] / 1e3,
        }

    def condition(self, stated):
        """The same condition in the words of this engine."""
        qe = self.edge.qe
        (condition,) = stated["must"]
        if "range" in condition:
            bound = qe.RangeFloat(lt=condition["range"]["lt"])
            return qe.Filter(must=[qe.FieldCondition(condition["key"], range=bound)])
        match = qe.MatchAny(condition["match"]["any"])
        return qe.Filter(must=[qe.FieldCondition(condition["key"], match=match)])
