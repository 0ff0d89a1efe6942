"""Search under filters: Cairn over HTTP and in process beside qdrant-edge in process, with ACORN
and without, and beside Cairn's own exact scan and its search without a filter.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

import curve
import filters
import goals
import processes
import server
from dataset import K

EFS = [64, 128, 256]
CONNECTIONS = [1, 4]
FIELDS = {"number": "integer", "cluster": "integer"}
# Cairn in process: name, arguments of `filtered`.
IN_PROCESS = {
    "Cairn, in process": [],
    "Cairn, in process, graphs": ["--graph"],
}
UNINDEXED = ["50 %", "10 %", "1 %"]
IDEALS = ("exact scan", "no filter")


def run(job):
    payloads, queries, made = filters.make(job.data, job.filtered_queries)
    out = {"queries": len(queries), "filters": {}, "unindexed": {}, "failed": {}}
    with tempfile.TemporaryDirectory(dir=job.scratch) as at:
        at = Path(at)
        stated = at / "filters.jsonl"
        write(stated, payloads, made)
        sides = opened(job, at, stated, payloads, out)
        warm_up(queries, made, sides)
        for each in made:
            out["filters"][each.name] = measured(job, queries, each, sides)
        close(sides)
        sides = without_indexes(job, at, stated, payloads, out)
        warm_up(queries, made, sides)
        for each in made:
            if each.name in UNINDEXED:
                out["unindexed"][each.name] = measured(job, queries, each, sides)
        close(sides)
    out["goals"] = goals.goals(out)
    for line in goals.goal_lines(out["goals"]):
        job.say(line)
    return out


def warm_up(queries, made, sides):
    """The first pass verifies checksums and fills caches."""
    for side in sides:
        side.sweep(queries, made[0], True)


def measured(job, queries, each, sides):
    passes = {side.name: [] for side in sides}
    for _ in range(job.repetitions):
        for side in sides:
            passes[side.name].append(side.sweep(queries, each, job.quick))
    settled = {name: curve.medians(taken) for name, taken in passes.items()}
    points = {name: [p for p in all if p["setting"] not in IDEALS] for name, all in settled.items()}
    ideals = {name: [p for p in all if p["setting"] in IDEALS] for name, all in settled.items()}
    job.say(f"filter {each.name}: " + "; ".join(brief(points)))
    # Pass by pass, for drift divides out.
    of_ideals = {
        side.name: statistics.median(map(of_ideal, passes[side.name]))
        for side in sides
        if isinstance(side, InProcess)
    }
    return {
        "matching": each.matching,
        "points": points,
        "ideals": {name: found for name, found in ideals.items() if found},
        "of_ideal": of_ideals,
    }


def opened(job, at, stated, payloads, out):
    node = server.Server(job.binaries, at / "http").__enter__()
    client = server.Client(node.port, "filtered")
    client.create(job.data.dim, FIELDS)
    client.upload(server.bodies(job.data.base, payloads))
    out["segments"] = client.wait_green()["segments_count"]
    sides = [Cairn(node, connections) for connections in CONNECTIONS]
    sides += [InProcess(job, name, flags, stated) for name, flags in IN_PROCESS.items()]
    try:
        sides += edges(job, at / "edge", payloads, FIELDS)
    except ImportError as error:
        out["failed"]["edge"] = f"qdrant-edge: {error}"
    return sides


def without_indexes(job, at, stated, payloads, out):
    sides = [InProcess(job, "Cairn, in process", ["--unindexed"], stated)]
    try:
        sides += edges(job, at / "bare", payloads, {})
    except ImportError as error:
        out["failed"]["edge"] = f"qdrant-edge: {error}"
    return sides


def close(sides):
    for side in sides:
        side.close()


def write(at, payloads, made):
    """What `filtered` reads."""
    with open(at, "w", encoding="utf-8") as file:
        print(json.dumps({"payloads": payloads}), file=file)
        for each in made:
            line = {"name": each.name, "conditions": each.conditions}
            print(json.dumps(line), file=file)


def brief(points):
    for name, measured in points.items():
        best = max(measured, key=lambda point: (round(point["recall"], 3), point["qps"]))
        yield f"{name} {best['recall']:.3f}, {best['qps']:,.0f}"


class Cairn:
    def __init__(self, node, connections):
        self.node, self.connections = node, connections
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
        figures, answers = server.ask_all(self.node.port, path, bodies, self.connections)
        return {"setting": ef or "default", **judged(each, answers), **figures}

    def close(self):
        if self.connections == CONNECTIONS[-1]:
            self.node.__exit__(None, None, None)


class InProcess:
    """The program `filtered`; its sweep has the ideals, too."""

    def __init__(self, job, name, flags, stated):
        command = [job.binaries / "filtered", "--data", job.data.directory, "--filters", stated]
        self.name = name
        self.process = processes.Engine(command + flags, ["default"])

    def sweep(self, queries, each, quick):
        asked = {
            "default": {"filter": each.name},
            "exact scan": {"filter": each.name, "exact": True},
            "no filter": {"filter": None},
        }
        return [self.measure(each, name, ask) for name, ask in asked.items()]

    def measure(self, each, name, ask):
        figures = self.process.measure(ask)
        answers = figures.pop("answers")
        judge = judged(each, answers) if ask["filter"] else {"recall": 0.0, "whole": 0}
        return {"setting": name, **judge, **figures}

    def close(self):
        self.process.close()


def of_ideal(points):
    """How fast a filtered search is beside the better of exact scan and search without filter."""
    rate = {point["setting"]: point["qps"] for point in points}
    return rate["default"] / max(rate["exact scan"], rate["no filter"])


def judged(each, answers):
    """Recall, and whether each query got as many as there are, up to the limit."""
    pairs = zip(answers, each.wanted)
    whole = all(len(answer) == min(K, len(wanted)) for answer, wanted in pairs)
    return {"recall": each.recall(answers), "whole": int(whole)}


def edges(job, at, payloads, fields):
    """qdrant-edge without quantization, fields indexed before the graph is built."""
    from families import edge

    qe = edge.qe
    shard = edge.shard(at, job.data.dim, threads=job.threads, segments=1)
    for field in fields:
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
            **judged(each, [[point.id for point in answer] for answer in answers]),
            "qps": len(asked) / elapsed,
            "p50_us": times[len(times) // 2] / 1e3,
            "p99_us": times[min(len(times) - 1, len(times) * 99 // 100)] / 1e3,
        }

    def close(self):
        self.shard = None

    def condition(self, stated):
        """The same condition in the words of this engine."""
        qe = self.edge.qe
        (condition,) = stated["must"]
        if "range" in condition:
            bound = qe.RangeFloat(lt=condition["range"]["lt"])
            return qe.Filter(must=[qe.FieldCondition(condition["key"], range=bound)])
        match = qe.MatchAny(condition["match"]["any"])
        return qe.Filter(must=[qe.FieldCondition(condition["key"], match=match)])
