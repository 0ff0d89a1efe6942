"""What the server keeps in memory for each vector, and how long a large collection takes to open.

Generated data, clustered, of stated dimension. The vectors are on disk: what of their file is in
memory the system takes back when it wants. All else is shown by what it is. What counts for the
goal is what the index itself holds: codes, links (lists of the graph, in memory and of its file)
and row map (ids, sequence numbers); the process, its threads, payloads and statistics stand beside.
"""

import json
import os
import re
import subprocess
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
NAME = "search"
# Two profiles: as the default budget has it, and a graph with a budget for its lists alone.
GRAPHS = {"CAIRN__STORAGE__GRAPH_ROWS_MIN": "0"}
# Bytes a row of that budget: enough for lists of any row numbers, and for nothing else.
LISTS_BYTES = 200
# Mappings by what they are of: the ending of a file of the collection.
KINDS = {"vectors": "vectors", "codes": "codes", "graph": "links", "rows": "row_map"}
INDEX = ["codes", "links", "row_map"]


def profiles(rows):
    """Settings of the server, and options of `search`, by name."""
    lists_mb = str(-(-rows * LISTS_BYTES // 2**20))
    return {
        "as it comes": ({}, []),
        "compact: graph, lists alone in memory": (
            {**GRAPHS, "CAIRN__STORAGE__CODED_GRAPH_MB": lists_mb},
            ["--coded", "--coded-mb", lists_mb],
        ),
    }


def memory(job):
    """Resident bytes a vector by profile, opened anew and after queries, and after loading."""
    with tempfile.TemporaryDirectory(dir=job.scratch) as at:
        data = dataset.prepare(None, job.memory_rows, job.memory_dim, QUERIES, Path(at) / "data")
        out = {"rows": data.rows, "dim": data.dim, "profiles": {}}
        for name, how in profiles(data.rows).items():
            out["profiles"][name] = profile(job, data, how)
            said = out["profiles"][name]["opened"]
            job.say(
                f"memory, {name}: {said['index'] / data.rows:,.0f} bytes a vector of codes, links "
                f"and row map, {(said['total'] - said['vectors']) / data.rows:,.0f} in all"
            )
    return out


def profile(job, data, how):
    environment, options = how
    queries = [server.query_body(query, K) for query in data.queries]
    with tempfile.TemporaryDirectory(dir=job.scratch) as at:
        with server.Server(job.binaries, at, environment) as node:
            out = {"empty": resident(node)}
            client = server.Client(node.port, NAME)
            vectors = {"size": data.dim, "distance": "Cosine", "on_disk": True}
            client.create(data.dim, {}, vectors=vectors)
            client.upload(server.bodies(data.base))
            client.wait_green()
            ask_all(node, queries)
            out["loaded"] = resident(node)
            node.kill()
            node.start()
            ask_all(node, queries)
            settle(node)
            out["opened"] = resident(node)
            out["http"], answers = ask_all(node, queries)
            out["http"]["recall"] = data.recall(answers)
            out["segments"] = client_of(node).send("GET", "")["segments_count"]
        command = [job.binaries / "search", "--data", data.directory, "--at", at, "--json"]
        command += ["--ef", "default", *options]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        out["in_process"] = json.loads(told.splitlines()[-1])
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
                about = client_of(node).send("GET", "")
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
    client = client_of(node)
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


def client_of(node):
    return server.Client(node.port, NAME)


def ask(node, queries):
    return ask_all(node, [server.query_body(query, K) for query in queries])[0]


def ask_all(node, bodies):
    return server.ask_all(node.port, f"/collections/{NAME}/points/query", bodies, 1)


def settle(node):
    """Waits until the process has had nothing to do for a second."""
    for _ in range(600):
        before = node.cpu_seconds()
        time.sleep(1.0)
        if node.cpu_seconds() - before < 0.1:
            return


def resident(node):
    """Bytes in memory by what they are: smaps names the file of every mapping.

    The lists of a graph that were packed into memory are anonymous: the server says how many bytes
    they are.
    """
    kinds = dict.fromkeys(["total", "anonymous", "vectors", "files", *INDEX], 0)
    kind = "anonymous"
    text = Path(f"/proc/{node.process.pid}/smaps").read_text(encoding="utf-8")
    for line in text.splitlines():
        head = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)", line)
        if head:
            name = head.group(1)
            mapped = KINDS.get(name.rsplit(".", 1)[-1], "files")
            kind = mapped if name.startswith("/") else "anonymous"
        elif line.startswith("Rss:"):
            size = int(line.split()[1]) * 1024
            kinds[kind] += size
            kinds["total"] += size
    packed = packed_links(node)
    kinds["links"] += packed
    kinds["anonymous"] -= packed
    kinds["index"] = sum(kinds[name] for name in INDEX)
    return kinds


def packed_links(node):
    """Bytes of graphs in memory, as the collection says; 0 where there is none yet."""
    client = client_of(node)
    client.connection.request("GET", client.path)
    answer = client.connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        return 0
    placed = json.loads(text)["result"]["cairn"]["placement"]["vectors"]
    return sum(each["graph"]["resident_bytes"] for each in placed.values())


def drop_cached(directory):
    """Asks the system to forget the contents of all files."""
    os.sync()
    for path in directory.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
