#!/usr/bin/env python3
"""Fills a data directory with something of everything, for `compare.py` and `damage.py` to read.

    sample_data.py DIR --cairn BIN [--points N] [--seed S]

Starts `cairn serve` on a free port with DIR, loads points over HTTP (numbers and UUIDs, named vectors of all elements,
payloads of all types), indexes fields, changes payloads and deletes points of sealed segments, runs the
optimizations, writes more, and kills the process in the middle of its work, three times. Standard library only.
"""
import argparse
import glob
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

WORDS = ["", "Zürich", "paris", "tokyo", "oslo", "lima", "καλημέρα", "x" * 300]


class Server:
    """One `cairn serve` process and the requests to it."""

    def __init__(self, binary, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        env = dict(os.environ, CAIRN__SERVICE__HTTP_PORT=str(self.port), CAIRN__SERVICE__HOST="127.0.0.1",
                   CAIRN__STORAGE__STORAGE_PATH=folder)
        limit = "service.max_request_size_mb=200"
        command = [binary, "serve", "--storage-path", folder, "--log-level", "warn", "--set", limit]
        self.process = subprocess.Popen(command, env=env)
        for _ in range(600):
            try:
                self.request("GET", "/readyz")
                return
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None:
                    sys.exit(f"cairn ended with {self.process.returncode}")
                time.sleep(0.1)
        self.kill()
        sys.exit("cairn does not answer")

    def request(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {"content-type": "application/json"},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                raw = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read()[:300]}") from None
        return json.loads(raw) if raw[:1] == b"{" else raw

    def try_request(self, *request):
        """A request whose feature a version of the program may lack."""
        try:
            self.request(*request)
        except RuntimeError as error:
            print(f"skipped: {error}", file=sys.stderr)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def payload_of(rng, n):
    """Payloads of several types; some fields missing, null, or of another type than their index."""
    payload = {"city": rng.choice(WORDS), "count": rng.randint(-(10**12), 10**12), "price": rng.uniform(-1e6, 1e6),
               "ok": rng.random() < 0.3, "deep": {"list": [1, 2.5, None, {"a": [[]]}], "tags": rng.sample(WORDS, 2)}}
    payload["many"] = [rng.randint(0, 9) for _ in range(rng.randint(0, 4))]
    if n % 5 == 0:
        payload["count"] = rng.choice([None, "text", 2**64 - 1, -(2**63), [1, None, 3], n % 7])
    if n % 7 == 0:
        payload["price"] = rng.choice([0, -0.0, 1e300, 1, None, [2.5, 2.5, 1e-300]])
    if n % 11 == 0:
        payload["city"] = rng.choice([None, [], ["oslo", "oslo", "lima"], 7])
    if n % 13 == 0:
        payload["ok"] = rng.choice([None, [True, False], "yes"])
    if n % 501 == 0:
        payload["long"] = "".join(rng.choices("abcdefghij ", k=70000))
    return rng.choice([payload, payload, payload, {}])


def point_of(rng, n, uuids):
    vectors = {"a": [rng.gauss(0, 1) for _ in range(24)], "half": [rng.gauss(0, 1) for _ in range(7)],
               "bytes": [rng.randint(0, 255) for _ in range(9)]}
    vectors = {name: v for name, v in vectors.items() if rng.random() < 0.9}
    return {"id": str(uuid.UUID(int=rng.getrandbits(128))) if uuids and n % 3 == 0 else n, "vector": vectors,
            "payload": payload_of(rng, n)}


def create(server, name, settings):
    vectors = {"a": {"size": 24, "distance": "Cosine"}, "half": {"size": 7, "distance": "Dot", "datatype": "float16"},
               "bytes": {"size": 9, "distance": "Euclid", "datatype": "uint8"}}
    server.request("PUT", f"/collections/{name}", {"vectors": vectors, **settings})


def upsert(server, name, points):
    server.request("PUT", f"/collections/{name}/points?wait=true", {"points": points})


def optimize(server, name):
    server.request("POST", f"/collections/{name}/optimizations/run")
    for _ in range(1200):
        if server.request("GET", f"/collections/{name}")["result"]["status"] == "green":
            return
        time.sleep(0.1)


def write_until_killed(binary_server, name, rng, first, count):
    """Kills the process while several writers are at work."""
    def writer(offset):
        try:
            for n in range(first + offset, first + 10**6, 7 * 40):
                upsert(binary_server, name, [point_of(rng, n + k, True) for k in range(40)])
        except (OSError, RuntimeError, urllib.error.URLError):
            pass

    threads = [threading.Thread(target=writer, args=(40 * k,)) for k in range(7)]
    for thread in threads:
        thread.start()
    time.sleep(count)
    binary_server.kill()
    for thread in threads:
        thread.join()


def fill(server, name, rng, points):
    for field, kind in (("city", "keyword"), ("count", "integer"), ("price", "float"), ("ok", "bool"),
                        ("deep.tags", "keyword"), ("many[]", "integer")):
        server.request("PUT", f"/collections/{name}/index?wait=true", {"field_name": field, "field_schema": kind})
    ids = []
    for first in range(0, points, 250):
        batch = [point_of(rng, n, True) for n in range(first, min(first + 250, points))]
        ids += [point["id"] for point in batch]
        upsert(server, name, batch)
    optimize(server, name)
    post = f"/collections/{name}/points"
    dead = set(rng.sample(ids, len(ids) // 12))
    server.request("POST", f"{post}/delete?wait=true", {"points": list(dead)})
    ids = [n for n in ids if n not in dead]
    some, in_oslo = rng.sample(ids, len(ids) // 10), {"must": [{"key": "city", "match": {"value": "oslo"}}]}
    server.request("POST", f"{post}/payload?wait=true", {"payload": {"city": "shared", "new": [1]}, "points": some})
    server.request("POST", f"{post}/payload?wait=true", {"payload": {"price": 9.5}, "filter": in_oslo})
    server.request("POST", f"{post}/payload/clear?wait=true", {"points": ids[:20]})
    for first in range(0, points // 4, 100):
        upsert(server, name, [point_of(rng, n, True) for n in range(first, first + 100)])


def main():
    parser = argparse.ArgumentParser(description="Fills a data directory with something of everything.")
    parser.add_argument("folder")
    parser.add_argument("--cairn", required=True)
    parser.add_argument("--points", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--large", action="store_true", help="200 MB of records as well")
    options = parser.parse_args()
    rng, folder = random.Random(options.seed), os.path.abspath(options.folder)
    server = Server(options.cairn, folder)
    try:
        build(server, rng, options.points, options.large)
        write_until_killed(server, "flat", rng, 10**6, 2)
        server = Server(options.cairn, folder)
        optimize(server, "graphs")
        write_until_killed(server, "graphs", rng, 2 * 10**6, 3)
        server = Server(options.cairn, folder)
        patch_until_killed(server, folder, rng)
    finally:
        server.kill()
    print(f"filled {folder}")


def build(server, rng, points, large):
    # A small threshold, so that graphs are built over a few thousand points.
    optimizers = {"indexing_threshold": 10, "flush_interval_sec": 1}
    create(server, "graphs", {"hnsw_config": {"m": 6, "ef_construct": 40}, "optimizers_config": optimizers})
    create(server, "flat", {"optimizers_config": {"flush_interval_sec": 1}})
    create(server, "empty", {})
    alias = {"create_alias": {"alias_name": "now", "collection_name": "graphs"}}
    server.try_request("POST", "/collections/aliases", {"actions": [alias]})
    fill(server, "graphs", rng, points)
    fill(server, "flat", rng, points // 4)
    optimize(server, "flat")
    if large:  # fills files of the log, then writes more than one record can hold
        for first in range(0, 800, 100):
            upsert(server, "flat", [long_point(2 * 10**5 + n, 10**5) for n in range(first, first + 100)])
        upsert(server, "flat", [long_point(3 * 10**5 + n, 10**5) for n in range(800)])


def patch_until_killed(server, folder, rng):
    """Changes a few payloads of a sealed segment, and kills the process before the patch is folded in."""
    create(server, "patched", {})
    for first in range(0, 3000, 250):
        upsert(server, "patched", [point_of(rng, n, False) for n in range(first, first + 250)])
    optimize(server, "patched")
    time.sleep(2)
    post = "/collections/patched/points"
    server.request("POST", f"{post}/payload?wait=true", {"payload": {"late": [1, None]}, "points": [1, 2, 400, 2999]})
    server.request("POST", f"{post}/delete?wait=true", {"points": [20, 30]})
    upsert(server, "patched", [point_of(rng, 10**5 + n, True) for n in range(50)])
    server.request("POST", "/collections/patched/optimizations/run")
    deadline, shard = time.time() + 10, f"{folder}/collections/*/shards/*"
    while not glob.glob(f"{shard}/parts/*.patch") and time.time() < deadline:
        time.sleep(0.001)
    before = set(glob.glob(f"{shard}/manifest/*"))
    while not set(glob.glob(f"{shard}/manifest/*")) - before and time.time() < deadline:
        time.sleep(0.001)
    server.kill()


def long_point(n, length):
    return {"id": n, "vector": {"half": [n % 5] * 7}, "payload": {"n": n, "text": "long " * (length // 5)}}


if __name__ == "__main__":
    main()
