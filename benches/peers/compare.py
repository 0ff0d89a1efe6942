"""Cairn beside its peers, in one sitting: ingestion, time to green, search, on codes and by graphs.

Absolute figures drift with the machine. The two sides take turns, each round gives a ratio, and
the median of the ratios is what is compared with the goal. What favours a side goes to the peer:
its points are made before the clock starts, it flushes once, and it pays for no HTTP.
"""

import argparse
import datetime
import gzip
import importlib.metadata
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hnswlib
import numpy
import qdrant_edge

ROOT = Path(__file__).resolve().parents[2]
BATCH = 1_000
K = 10
EFS = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]
RECALLS = [0.95, 0.99]
M = 16
EF_CONSTRUCTION = 100
# Segments below `indexing_threshold` are scanned, in Cairn as in Qdrant: a remainder may have no
# graph. With less than this in graphs the times would not be those of the same work.
LEAST_COVERED = 0.9


class Data:
    """The directory that benches/src/dataset.rs describes."""

    def __init__(self, directory, rows):
        self.directory = Path(directory)
        base = numpy.load(self.directory / "base.f16.npy", mmap_mode="r")
        self.rows = min(rows or len(base), len(base))
        self.base = base[: self.rows].astype(numpy.float32)
        self.queries = numpy.load(self.directory / "queries.f16.npy").astype(numpy.float32)
        truth = numpy.load(self.directory / "truth.u32.npy")
        self.truth = [set(row[row < self.rows][:K].tolist()) for row in truth]

    def payloads(self):
        with gzip.open(self.directory / "payload.jsonl.gz", "rt", encoding="utf-8") as lines:
            return [json.loads(line) for _, line in zip(range(self.rows), lines)]

    def recall(self, answers):
        hits = sum(len(truth.intersection(ids)) for truth, ids in zip(self.truth, answers))
        return hits / max(1, sum(map(len, self.truth)))


# Ingestion and time to a graph


def edge_operations(data):
    payloads = data.payloads()

    def point(at):
        return qdrant_edge.Point(at, data.base[at].tolist(), payloads[at])

    return [
        qdrant_edge.UpdateOperation.upsert_points(
            [point(at) for at in range(start, min(start + BATCH, data.rows))]
        )
        for start in range(0, data.rows, BATCH)
    ]


def edge_load(data, operations):
    """Points a second, and seconds from the first upsert until a graph covers all of them."""
    vectors = qdrant_edge.EdgeVectorParams(
        size=data.base.shape[1], distance=qdrant_edge.Distance.Cosine
    )
    kinds = qdrant_edge.PayloadSchemaType
    with tempfile.TemporaryDirectory() as directory:
        shard = qdrant_edge.EdgeShard.create(directory, qdrant_edge.EdgeConfig(vectors=vectors))
        for field, kind in (("rank", kinds.Integer), ("released", kinds.Keyword)):
            shard.update(qdrant_edge.UpdateOperation.create_field_index(field, kind))
        start = time.perf_counter()
        for operation in operations:
            shard.update(operation)
        shard.flush()
        loaded = time.perf_counter() - start
        shard.optimize()
        indexed = time.perf_counter() - start
        count = shard.info().indexed_vectors_count
        shard.close()
    if count != data.rows:
        sys.exit(f"qdrant-edge-py: {count} of {data.rows} vectors are in a graph")
    return data.rows / loaded, indexed


# The setting of the server with which segments of this size have graphs.
GRAPHS = {"CAIRN__STORAGE__GRAPH_ROWS_MIN": "0"}


def cairn_load(data, binaries, remarks, settings):
    """The same of the real server over HTTP, durable batches on one connection."""
    command = [binaries / "real", "--data", data.directory, "--rows", str(data.rows)]
    environment = {**os.environ, **settings}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if run.returncode != 0:
        remarks.append("`real` ended with: " + (run.stderr.strip().splitlines() or ["nothing"])[-1])

    def figure(pattern):
        found = re.search(pattern + r"[^|]*\| *([0-9.]+)", run.stdout)
        if not found:
            sys.exit(f"real gave no '{pattern}':\n{run.stdout}\n{run.stderr}")
        return float(found.group(1))

    count = figure("vectors indexed at green")
    if count < data.rows:
        remarks.append(f"Cairn was green with {count:,.0f} of {data.rows:,} vectors indexed.")
    if count < LEAST_COVERED * data.rows:
        sys.exit(f"real: {count:.0f} of {data.rows} vectors are indexed at green")
    return figure("ingestion"), figure("first upsert to green")


def compare_loads(data, binaries, rounds, remarks):
    operations = edge_operations(data)
    sides = {
        "cairn": lambda: cairn_load(data, binaries, remarks, {}),
        "graphs": lambda: cairn_load(data, binaries, remarks, GRAPHS),
        "peer": lambda: edge_load(data, operations),
    }
    rates, greens, graphs = [], [], []
    for number in range(rounds):
        # Who goes first changes, so that a drift of the machine favours neither.
        order = ["peer", "cairn", "graphs"] if number % 2 == 0 else ["graphs", "cairn", "peer"]
        figures = {}
        for side in order:
            figures[side] = sides[side]()
            rate, green = figures[side]
            say(f"round {number + 1}: {side} {rate:.0f} points/s, green after {green:.1f} s")
        rates.append((figures["cairn"][0], figures["peer"][0]))
        greens.append((figures["cairn"][1], figures["peer"][1]))
        graphs.append((figures["graphs"][1], figures["peer"][1]))
    upserted = f"{data.rows:,} points, first upsert to"
    return [
        Line("ingestion, points/s (HTTP, durable : in process)", "qdrant-edge", rates, ">=", 0.7),
        Line(f"{upserted} graphs, s", "qdrant-edge", graphs, "<=", 0.5),
        Line(f"{upserted} green, s", "qdrant-edge", greens, "<=", 0.2),
    ]


# Search


class CairnSearch:
    """`search` answering one setting at a time."""

    def __init__(self, data, binaries, directory, graph):
        command = [binaries / "search", "--csv", "--ef", "-", "--at", directory]
        command += ["--data", data.directory, "--rows", str(data.rows)]
        command += ["--graph"] if graph else []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.segments = None
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("search ended early")
        return line.strip().split(",")

    def measure(self, ef):
        self.process.stdin.write(f"{ef}\n")
        self.process.stdin.flush()
        self.segments, _, recall, rate = self.read()
        return float(recall), float(rate)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class HnswlibSearch:
    """hnswlib, one query a call on one thread."""

    def __init__(self, data):
        self.data = data
        self.index = hnswlib.Index(space="cosine", dim=data.base.shape[1])
        self.index.init_index(data.rows, ef_construction=EF_CONSTRUCTION, M=M)
        self.index.add_items(data.base, numpy.arange(data.rows))
        self.index.set_num_threads(1)
        self.queries = [data.queries[at : at + 1] for at in range(len(data.queries))]
        self.measure(64)

    def measure(self, ef):
        self.index.set_ef(ef)
        ask = self.index.knn_query
        start = time.perf_counter()
        answers = [ask(query, k=K) for query in self.queries]
        elapsed = time.perf_counter() - start
        recall = self.data.recall([labels[0].tolist() for labels, _ in answers])
        return recall, len(answers) / elapsed


def at_recall(points, target):
    """Queries a second at a recall: linear in log QPS between the two settings around it."""
    for (low, slow), (high, fast) in zip(points, points[1:]):
        if low < target <= high:
            share = (target - low) / (high - low)
            return math.exp(math.log(slow) + share * (math.log(fast) - math.log(slow)))
    return None


def compare_search(data, binaries, passes, remarks):
    rates = {target: [] for target in RECALLS}
    curves = {"cairn": {}, "hnswlib": {}}
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        cairn = CairnSearch(data, binaries, first, graph=True)
        codes = CairnSearch(data, binaries, second, graph=False)
        peer = HnswlibSearch(data)
        default, scans, faster = [], [], []
        for number in range(passes):
            points = {"cairn": [], "hnswlib": []}
            for ef in EFS:
                for name, side in (("cairn", cairn), ("hnswlib", peer)):
                    recall, rate = side.measure(ef)
                    points[name].append((recall, rate))
                    curves[name].setdefault(ef, []).append((recall, rate))
            default.append(cairn.measure("default"))
            scans.append(codes.measure("default"))
            for target in RECALLS:
                both = at_recall(points["cairn"], target), at_recall(points["hnswlib"], target)
                say(f"pass {number + 1}: QPS at recall {target}: {both}")
                if None in both:
                    sys.exit(f"recall {target} is not between two settings: {points}")
                rates[target].append(both)
            faster.append((scans[-1][1], at_recall(points["hnswlib"], max(RECALLS))))
        cairn.close()
        codes.close()
    rate = statistics.median(rate for _, rate in default)
    remarks.append(
        f"By its graph, without `hnsw_ef`, Cairn answers with recall@{K} {default[0][0]:.4f} at "
        f"{rate:,.0f} queries/s."
    )
    remarks.append(
        f"Segments searched in process: {cairn.segments} by a graph, {codes.segments} on codes."
    )
    remarks.append(f"Recall@{K} on codes: {min(recall for recall, _ in scans):.4f}.")
    lines = [
        Line(f"graph, QPS at recall@{K} {target}, one thread", "hnswlib", rates[target], ">=", 1.0)
        for target in RECALLS
    ]
    what = f"as it comes (codes), QPS, one thread; hnswlib at recall@{K} {max(RECALLS)}"
    lines.append(Line(what, "hnswlib", faster, ">=", 4.0))
    return lines, curve_table(curves)


def curve_table(curves):
    rows = [f"| ef | Cairn recall@{K}, QPS | hnswlib recall@{K}, QPS |", "|--:|--:|--:|"]
    for ef in EFS:
        cells = []
        for name in ("cairn", "hnswlib"):
            measured = curves[name][ef]
            rate = statistics.median(rate for _, rate in measured)
            cells.append(f"{measured[0][0]:.4f}, {rate:,.0f}")
        rows.append(f"| {ef} | {cells[0]} | {cells[1]} |")
    return "\n".join(rows)


# Report


class Line:
    """A comparison: pairs of (Cairn, peer), one a round."""

    def __init__(self, what, peer, pairs, sense, goal):
        self.what, self.peer, self.pairs, self.sense, self.goal = what, peer, pairs, sense, goal
        self.ratios = [cairn / peer for cairn, peer in pairs]
        self.ratio = statistics.median(self.ratios)

    def met(self):
        return self.ratio >= self.goal if self.sense == ">=" else self.ratio <= self.goal

    def __str__(self):
        cairn = statistics.median(cairn for cairn, _ in self.pairs)
        peer = statistics.median(peer for _, peer in self.pairs)
        digits = 1 if cairn < 1_000 else 0
        each = " ".join(f"{ratio:.2f}" for ratio in self.ratios)
        return (
            f"| {self.what} | {cairn:,.{digits}f} | {self.peer} {peer:,.{digits}f} "
            f"| **{self.ratio:.2f}** ({each}) | {self.sense} {self.goal} "
            f"| {'met' if self.met() else 'missed'} |"
        )


HEAD = "| what | Cairn | peer | ratio: median (each round) | goal | |\n|---|--:|--:|--:|--:|---|"


def say(text):
    print(text, file=sys.stderr, flush=True)


def command(*words):
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip()


def cpu():
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def load():
    return ", ".join(f"{value:.2f}" for value in os.getloadavg())


def tree():
    head = command("git", "rev-parse", "--short", "HEAD")
    changed = command("git", "status", "--porcelain", "--", ":!benches/record")
    return f"repository at {head} {'with uncommitted changes' if changed else 'as committed'}"


def built(binary):
    moment = datetime.datetime.fromtimestamp(binary.stat().st_mtime)
    return f"`{binary.name}` built {moment:%Y-%m-%d %H:%M}"


def machine(binaries, data, started, source):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [
        f"{name} {importlib.metadata.version(name)}"
        for name in ("qdrant-edge-py", "hnswlib", "numpy")
    ]
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    return [
        f"- Machine: {cpu()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}.",
        f"- Load average (1, 5, 15 minutes) at the start: {started}; at the end: {load()}; "
        f"niceness {niceness}.",
        f"- {command(binaries / 'cairn', '--version')}; {source} at the start; "
        f"{', '.join(built(binaries / name) for name in ('cairn', 'real', 'search'))}.",
        f"- {', '.join(versions)}; Python {platform.python_version()}.",
        f"- Data: {data.directory.name}, {data.rows:,} x {data.base.shape[1]}, cosine, "
        f"{len(data.queries):,} queries, k = {K}, exact truth.",
    ]


HOW = f"""How: the sides take turns. Ingestion: batches of {BATCH:,} with payload, the fields `rank`
(integer) and `released` (keyword) indexed from the start; Cairn over HTTP as JSON on one
connection, each batch durable before its answer; qdrant-edge in process, points made beforehand,
one flush at the end. Time: from the first upsert until the points are indexed; Cairn until it is
green, as it comes (codes) and with the setting under which segments of this size have graphs;
qdrant-edge by `optimize` without quantization; graphs with m {M} and ef_construct
{EF_CONSTRUCTION}. Search: one thread, one query a call; Cairn through `query::search` in process,
hnswlib with M {M} and ef_construction {EF_CONSTRUCTION}; interpolated in log QPS between the
settings around the recall; both warmed by a pass."""


def record(text):
    slug = re.sub(r"[^a-z0-9]+", "-", cpu().lower()).strip("-")
    path = ROOT / "benches" / "record" / slug / f"{datetime.date.today().isoformat()}-peers.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    say(f"recorded in {path.relative_to(ROOT)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="directory of real embeddings")
    parser.add_argument("--bin", required=True, type=Path, help="where cairn, real and search are")
    parser.add_argument("--rows", type=int, help="only the first rows, for a trial")
    parser.add_argument("--rounds", type=int, default=3, help="of ingestion")
    parser.add_argument("--passes", type=int, default=5, help="of search over all settings")
    parser.add_argument("--record", action="store_true", help="write benches/record")
    options = parser.parse_args()
    started, source = load(), tree()
    remarks = []
    if os.getloadavg()[0] > 0.5 * os.cpu_count():
        remarks.append(
            "The machine was NOT quiet: others took most of its time, the side with more threads "
            "gets the larger share of it, and no absolute figure here is one."
        )
    data = Data(options.data, options.rows)
    lines = compare_loads(data, options.bin, options.rounds, remarks)
    searches, curves = compare_search(data, options.bin, options.passes, remarks)
    table = "\n".join([HEAD, *map(str, lines + searches)])
    print(table)
    facts = "\n".join(machine(options.bin, data, started, source) + [f"- {text}" for text in remarks])
    text = f"# Cairn beside its peers, {datetime.date.today()}\n\n{facts}\n\n{table}\n\n{HOW}\n"
    text += f"\nRecall and median queries a second for each width of the beam:\n\n{curves}\n"
    print("\n" + text.split("\n\n", 1)[1])
    if options.record:
        record(text)


if __name__ == "__main__":
    main()
