"""Cairn over HTTP beside Cairn in process: upload, time to green, rate on several connections."""

import tempfile
import time
from pathlib import Path

import curve
import processes
import server
from dataset import K

CONNECTIONS = [1, 4, 16]
SETTINGS = [None, 128]
FIELDS = {"rank": "integer", "released": "keyword"}


def run(job):
    data, passes = job.data, {}
    with (
        tempfile.TemporaryDirectory(dir=job.scratch) as at,
        tempfile.TemporaryDirectory(dir=job.scratch) as other,
        server.Server(job.binaries, at) as node,
    ):
        client = server.Client(node.port, "served")
        client.create(data.dim, FIELDS)
        requests = list(server.bodies(data.base, data.payloads()))
        start = time.perf_counter()
        loaded = client.upload(requests)
        about = client.wait_green()
        out = {
            "points_per_s": data.rows / loaded,
            "green_s": time.perf_counter() - start,
            "segments": about["segments_count"],
            "indexed": about["indexed_vectors_count"],
        }
        del requests
        job.say(f"HTTP: {out['points_per_s']:,.0f} points/s, green after {out['green_s']:.1f} s")
        # A directory each: one process at a time has one open.
        inside = {
            clients: processes.cairn(
                "cairn", data, job.binaries, Path(other) / str(clients), clients
            )
            for clients in sorted({1, job.threads})
        }
        out["inside_segments"] = inside[1].built["segments"]
        for _ in range(job.repetitions):
            for clients, engine in inside.items():
                passes.setdefault(f"in process, {clients}", []).append(engine.measure("default"))
            for ef in SETTINGS:
                for connections in CONNECTIONS:
                    name = f"HTTP, {connections}, {ef or 'default'}"
                    passes.setdefault(name, []).append(ask(node, data, ef, connections))
        for engine in inside.values():
            engine.close()
    out["passes"] = {
        name: [{key: round(value, 5) for key, value in point.items() if key != "setting"}
               for point in points]
        for name, points in passes.items()
    }  # fmt: skip
    for name, points in passes.items():
        middle = curve.middle(points)
        job.say(f"{name}: recall {middle['recall']:.4f}, {middle['qps']:,.0f} QPS")
    return out


def ask(node, data, ef, connections):
    params = {"hnsw_ef": ef} if ef else None
    bodies = [server.query_body(query, K, params) for query in data.queries]
    path = "/collections/served/points/query"
    cpu, start = node.cpu_seconds(), time.perf_counter()
    figures, answers = server.ask_all(node.port, path, bodies, connections)
    cores = (node.cpu_seconds() - cpu) / (time.perf_counter() - start)
    return {"setting": ef, "recall": data.recall(answers), **figures, "cores": cores}
