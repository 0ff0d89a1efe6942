"""One engine in a process of its own: worker.py --engine NAME --data DIR --threads N --at DIR

Builds the index, prints what that took as an object, then reads a setting a line and answers each
with an object. A process each, because memory and CPU time are counted by process, because thread
pools of two libraries get in each other's way, and because one that crashes ends nothing else.
"""

import argparse
import gc
import json
import os
import sys
import time
from pathlib import Path

import dataset
import machine
from families import FAMILIES, load


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", required=True, choices=sorted(FAMILIES))
    parser.add_argument("--data", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--at", required=True, type=Path)
    options = parser.parse_args()
    # What libraries print goes to standard error; answers have the real standard output.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    data = dataset.Data(options.data)
    engine = load(options.engine)(data.dim, options.at)
    # A copy, so that reading the file is no part of building.
    base = data.base[:].copy()
    built = build(engine, base, options.threads)
    del base
    gc.collect()
    # The first pass touches what the later ones use.
    measure(engine, data, engine.sweep[len(engine.sweep) // 2])
    built["settings"] = engine.sweep
    print(json.dumps(built), file=answers)
    for line in sys.stdin:
        print(json.dumps(measure(engine, data, json.loads(line))), file=answers)


def build(engine, base, threads):
    """CPU and wall seconds, bytes of the index as stored, and growth of this process's memory."""
    memory = machine.status_bytes("RssAnon")
    cpu, start = machine.cpu_seconds(), time.perf_counter()
    engine.build(base, threads)
    wall, cpu = time.perf_counter() - start, machine.cpu_seconds() - cpu
    grown = machine.status_bytes("RssAnon") - memory
    out = {"cpu_s": cpu, "wall_s": wall, "anon_bytes": max(0, grown)}
    if engine.load_cpu_s is not None:
        out["load_cpu_s"] = engine.load_cpu_s
        out["cpu_s"] -= engine.load_cpu_s
    out["index_bytes"] = engine.stored_bytes()
    return out


def measure(engine, data, setting):
    """Every query once, each a call of its own."""
    engine.apply(setting)
    queries = [engine.prepare(query) for query in data.queries]
    ask, clock = engine.ask, time.perf_counter_ns
    raw, times = [], []
    cpu, start = machine.cpu_seconds(), clock()
    for query in queries:
        before = clock()
        raw.append(ask(query))
        times.append(clock() - before)
    elapsed, cpu = (clock() - start) / 1e9, machine.cpu_seconds() - cpu
    times.sort()
    return {
        "setting": setting,
        "recall": data.recall([engine.ids(answer) for answer in raw]),
        "qps": len(queries) / elapsed,
        "p50_us": times[len(times) // 2] / 1e3,
        "p99_us": times[min(len(times) - 1, len(times) * 99 // 100)] / 1e3,
        # More than one: it did not keep to one thread.
        "cores": cpu / elapsed,
    }


if __name__ == "__main__":
    main()
