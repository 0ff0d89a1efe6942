"""Ingestion with payload, and the time from the first upsert until everything is indexed.

What favours a side goes to the peer: its points are made before the clock starts, it flushes once,
and it pays for no HTTP. Cairn's batches are durable before they are answered.
"""

import tempfile
import time
from pathlib import Path

import machine
import server

# Under this setting segments of any size that is indexed have graphs.
GRAPHS = {"CAIRN__STORAGE__GRAPH_ROWS_MIN": "0"}
FIELDS = {"rank": "integer", "released": "keyword"}


def run(job):
    payloads = job.data.payloads()
    requests = list(server.bodies(job.data.base, payloads))
    sides = {
        "cairn": lambda: cairn(job, requests, {}),
        "cairn-graphs": lambda: cairn(job, requests, GRAPHS),
    }
    failed = {}
    try:
        from families import edge

        operations = list(edge.upserts(job.data.base, payloads))
        sides["edge"] = lambda: qdrant_edge(job, edge, operations)
    except ImportError as error:
        failed["edge"] = f"qdrant-edge: {error}"
    rounds = []
    for number in range(job.repetitions):
        names = list(sides) if number % 2 else list(sides)[::-1]
        figures = {name: sides[name]() for name in names}
        for name, figure in figures.items():
            rate, indexed = figure["points_per_s"], figure["indexed_s"]
            job.say(f"{name}: {rate:,.0f} points/s, all indexed after {indexed:.1f} s")
        rounds.append(figures)
    return {"rounds": rounds, "failed": failed, "batch": server.BATCH}


def cairn(job, requests, environment):
    with (
        tempfile.TemporaryDirectory(dir=job.scratch) as at,
        server.Server(job.binaries, at, environment) as node,
    ):
        client = server.Client(node.port, "ingest")
        client.create(job.data.dim, FIELDS)
        start, cpu = time.perf_counter(), node.cpu_seconds()
        loaded = client.upload(requests)
        about = client.wait_green()
        return {
            "points_per_s": job.data.rows / loaded,
            "indexed_s": time.perf_counter() - start,
            "cpu_s": node.cpu_seconds() - cpu,
            "disk_bytes": machine.bytes_below(at),
            "indexed": about["indexed_vectors_count"],
            "segments": about["segments_count"],
        }


def qdrant_edge(job, edge, operations):
    kinds = {"integer": edge.qe.PayloadSchemaType.Integer}
    kinds["keyword"] = edge.qe.PayloadSchemaType.Keyword
    with tempfile.TemporaryDirectory(dir=job.scratch) as at:
        shard = edge.shard(Path(at) / "shard", job.data.dim, threads=job.threads)
        for field, kind in FIELDS.items():
            shard.update(edge.qe.UpdateOperation.create_field_index(field, kinds[kind]))
        start, cpu = time.perf_counter(), machine.cpu_seconds()
        for operation in operations:
            shard.update(operation)
        shard.flush()
        loaded = time.perf_counter() - start
        shard.optimize()
        out = {
            "points_per_s": job.data.rows / loaded,
            "indexed_s": time.perf_counter() - start,
            "cpu_s": machine.cpu_seconds() - cpu,
            "disk_bytes": machine.bytes_below(at),
            "indexed": shard.info().indexed_vectors_count,
            "segments": shard.info().segments_count,
        }
        shard.close()
    return out
