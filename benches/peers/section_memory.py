"""What the server keeps in memory for each vector, and how long a large collection takes to open.

Generated data, clustered, of stated dimension. The vectors stay in their file, of which the system
keeps in memory what it likes and gives it back when asked; all else counts.
"""

import os
import re
import tempfile
import time
from pathlib import Path

import dataset
import server
from dataset import K

QUERIES = 1_000
SEED = 7
# Rows that are generated and sent at a time.
PORTION = 100_000


def memory(job):
    """Resident bytes a vector, opened anew and after queries, and as it is after loading."""
    rows, dim = job.memory_rows, job.memory_dim
    with (
        tempfile.TemporaryDirectory(dir=job.scratch) as at,
        server.Server(job.binaries, at) as node,
    ):
        empty = resident(node)
        queries = fill(node, rows, dim)
        out = {"rows": rows, "dim": dim, "empty": empty}
        ask(node, queries)
        out["loaded"] = resident(node)
        node.kill()
        node.start()
        ask(node, queries)
        settle(node)
        out["opened"] = resident(node)
    for name in ("loaded", "opened"):
        each = (out[name]["total"] - out[name]["vectors"]) / rows
        out[name]["bytes_per_vector"] = each
        out[name]["above_empty"] = each - (empty["total"] - empty["vectors"]) / rows
        job.say(f"memory, {name}: {each:,.0f} bytes a vector, {out[name]['above_empty']:,.0f} net")
    return out


def opening(job):
    """From the start of the process until it is ready with every row, files cached or not."""
    rows, dim = job.opening_rows, job.opening_dim
    out = {"rows": rows, "dim": dim, "cached_s": [], "uncached_s": []}
    with (
        tempfile.TemporaryDirectory(dir=job.scratch) as at,
        server.Server(job.binaries, at) as node,
    ):
        start = time.perf_counter()
        queries = fill(node, rows, dim)
        out["green_s"] = time.perf_counter() - start
        for _ in range(job.repetitions):
            for name in ("cached_s", "uncached_s"):
                node.kill()
                if name == "uncached_s":
                    drop_cached(Path(at))
                start = time.perf_counter()
                node.start()
                about = server.Client(node.port, "made").send("GET", "")
                out[name].append(time.perf_counter() - start)
                if about["points_count"] != rows:
                    raise RuntimeError(f"{about['points_count']} of {rows} points after opening")
        out["segments"] = about["segments_count"]
        out["first_pass"] = ask(node, queries)
        out["second_pass"] = ask(node, queries)
        settle(node)
        out["resident"] = resident(node)
    cached, uncached = min(out["cached_s"]), max(out["uncached_s"])
    job.say(f"opening {rows:,} rows: {cached:.3f} s, files not cached up to {uncached:.3f} s")
    return out


def fill(node, rows, dim):
    """Loads generated rows and waits until they are indexed; queries of the same kind."""
    client = server.Client(node.port, "made")
    client.create(dim, {})
    first, queries = 0, None
    while first < rows:
        count = min(PORTION, rows - first)
        base, asked = dataset.generate(count, dim, QUERIES, SEED + first // PORTION)
        queries = dataset.unit(asked) if queries is None else queries
        for body in server.bodies(dataset.unit(base), first=first):
            client.send("PUT", "/points?wait=true", body)
        first += count
    client.wait_green()
    return queries


def ask(node, queries):
    bodies = [server.query_body(query, K) for query in queries]
    return server.ask_all(node.port, "/collections/made/points/query", bodies, 1)[0]


def settle(node):
    """Waits until the process has had nothing to do for a second."""
    for _ in range(600):
        before = node.cpu_seconds()
        time.sleep(1.0)
        if node.cpu_seconds() - before < 0.1:
            return


def resident(node):
    """Bytes in memory by what they are: smaps names the file of every mapping."""
    kinds = {"total": 0, "anonymous": 0, "vectors": 0, "files": 0}
    kind = "anonymous"
    text = Path(f"/proc/{node.process.pid}/smaps").read_text(encoding="utf-8")
    for line in text.splitlines():
        head = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)", line)
        if head:
            name = head.group(1)
            mapped = "vectors" if name.endswith(".vectors") else "files"
            kind = mapped if name.startswith("/") else "anonymous"
        elif line.startswith("Rss:"):
            size = int(line.split()[1]) * 1024
            kinds[kind] += size
            kinds["total"] += size
    return kinds


def drop_cached(directory):
    """Asks the system to forget the contents of all files."""
    os.sync()
    for path in directory.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
