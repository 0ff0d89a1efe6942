"""Cairn's server as a process, and its REST interface on connections that stay open."""

import http.client
import os
import selectors
import signal
import socket
import subprocess
import time

import orjson

import machine

BATCH = 1_000
STARTED_WITHIN = 300.0


class Server:
    """`cairn serve` on a directory; killed when left."""

    def __init__(self, binaries, directory, environment=None):
        self.binary, self.directory = binaries / "cairn", directory
        self.environment = {**os.environ, **(environment or {})}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        """Seconds from the start of the process until it is ready."""
        command = [self.binary, "serve", "--http-port", self.port, "--log-level", "error"]
        command += ["--storage-path", self.directory]
        start = time.perf_counter()
        self.process = subprocess.Popen(list(map(str, command)), env=self.environment)
        while time.perf_counter() - start < STARTED_WITHIN:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}")
            if self.ready():
                return time.perf_counter() - start
            time.sleep(0.001)
        raise RuntimeError(f"the server was not ready within {STARTED_WITHIN:.0f} s")

    def ready(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def cpu_seconds(self):
        return machine.process_cpu(self.process.pid)


class Client:
    """One connection to a collection."""

    def __init__(self, port, collection):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        self.path = f"/collections/{collection}"

    def send(self, method, path, body=None):
        if body is not None and not isinstance(body, bytes):
            body = orjson.dumps(body)
        headers = {"content-type": "application/json"} if body else {}
        self.connection.request(method, self.path + path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {self.path}{path}: {answer.status}: {text[:300]}")
        return orjson.loads(text)["result"]

    def create(self, dim, fields, **more):
        vectors = {"size": dim, "distance": "Cosine"}
        self.send("PUT", "", {"vectors": vectors, **more})
        for field, kind in fields.items():
            index = {"field_name": field, "field_schema": kind}
            self.send("PUT", "/index?wait=true", index)

    def upload(self, bodies):
        """Durable batches one after the other; seconds they took."""
        start = time.perf_counter()
        for body in bodies:
            self.send("PUT", "/points?wait=true", body)
        return time.perf_counter() - start

    def wait_green(self, within=7_200.0):
        """What the collection says of itself once it is green."""
        deadline = time.perf_counter() + within
        while time.perf_counter() < deadline:
            about = self.send("GET", "")
            if about["status"] == "green":
                return about
            if about["status"] == "red":
                raise RuntimeError(f"the collection is red: {about}")
            time.sleep(0.02)
        raise RuntimeError(f"not green within {within:.0f} s")


def bodies(base, payloads=None, first=0):
    """Requests of a batch each, ids from `first`, vectors as the shortest text of their float32."""
    for start in range(0, len(base), BATCH):
        rows = range(start, min(start + BATCH, len(base)))
        points = [{"id": first + at, "vector": base[at]} for at in rows]
        if payloads is not None:
            for at, point in zip(rows, points):
                point["payload"] = payloads[at]
        yield orjson.dumps({"points": points}, option=orjson.OPT_SERIALIZE_NUMPY)


def query_body(vector, limit, params=None, matching=None):
    body = {"query": vector, "limit": limit}
    if params:
        body["params"] = params
    if matching:
        body["filter"] = matching
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


class Connection:
    """One of many, with the request it waits for and what has arrived."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got, self.whole, self.number, self.sent = bytearray(), None, None, 0

    def send(self, number, request):
        self.got, self.whole, self.number = bytearray(), None, number
        self.sent = time.perf_counter_ns()
        self.socket.sendall(request)

    def receive(self):
        """Whether the answer is whole now."""
        part = self.socket.recv(1 << 16)
        if not part:
            raise RuntimeError("the server closed a connection")
        self.got += part
        if self.whole is None:
            end = self.got.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(self.got[:end]).lower()
            if not head.startswith(b"http/1.1 200"):
                raise RuntimeError(f"the server answered {bytes(self.got[:300])!r}")
            length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            self.whole = end + 4 + length
            self.body = end + 4
        return len(self.got) >= self.whole


def ask_all(port, path, queries, connections):
    """Every query once over so many connections, each with one request at a time.

    One thread with little work of its own, for the load comes from the cores that serve it.
    Returns the rate, p50 and p99 in microseconds, and the ids of each answer.
    """
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    requests = [f"{head}content-length: {len(q)}\r\n\r\n".encode() + q for q in queries]
    waiting = iter(range(len(requests)))
    times, answers = [0] * len(requests), [b""] * len(requests)
    selector = selectors.DefaultSelector()
    opened = [Connection(port) for _ in range(min(connections, len(requests)))]
    for connection in opened:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    start = time.perf_counter()
    for connection in opened:
        number = next(waiting)
        connection.send(number, requests[number])
    left = len(requests)
    while left:
        for key, _ in selector.select():
            connection = key.data
            if not connection.receive():
                continue
            times[connection.number] = time.perf_counter_ns() - connection.sent
            answers[connection.number] = bytes(connection.got[connection.body :])
            left -= 1
            number = next(waiting, None)
            if number is not None:
                connection.send(number, requests[number])
    elapsed = time.perf_counter() - start
    for connection in opened:
        connection.socket.close()
    selector.close()
    times.sort()
    found = [orjson.loads(answer)["result"]["points"] for answer in answers]
    return {
        "qps": len(requests) / elapsed,
        "p50_us": times[len(times) // 2] / 1e3,
        "p99_us": times[min(len(times) - 1, len(times) * 99 // 100)] / 1e3,
    }, [[point["id"] for point in points] for points in found]
