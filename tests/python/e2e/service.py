"""The service itself: version, health, metrics, the envelope, what is not there yet."""

from __future__ import annotations

import warnings

from qdrant_client import QdrantClient, models

from e2e.checks import Checks


def handshake(t: Checks) -> None:
    """The client's own compatibility check finds nothing to warn of."""
    info = t.client.info()
    t.equal("title", info.title, "qdrant - vector search engine")
    t.equal("version", info.version, "1.19.0")
    root = t.http.get("/")
    t.equal("root is not in the envelope", "result" in root.json(), False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with_check = QdrantClient(url=t.url, check_compatibility=True)
        with_check.get_collections()
        with_check.close()
    said = [str(warning.message) for warning in caught if "ersion" in str(warning.message)]
    t.equal("warnings about versions", said, [])


def health(t: Checks) -> None:
    for path, text in [
        ("/healthz", "healthz check passed"),
        ("/livez", "healthz check passed"),
        ("/readyz", "all shards are ready"),
    ]:
        answer = t.http.get(path)
        t.equal(f"{path} status", answer.status_code, 200)
        t.equal(f"{path} text", answer.text.strip(), text)
        t.true(f"{path} is text", answer.headers["content-type"].startswith("text/plain"))


def metrics(t: Checks) -> None:
    name = t.fresh()
    t.client.upsert(name, [models.PointStruct(id=1, vector=[1, 2, 3, 4])])
    answer = t.http.get("/metrics")
    t.equal("status", answer.status_code, 200)
    for metric in ["app_info", "collections_total", "rest_responses_total"]:
        t.true(f"{metric} is there", metric in answer.text)
    lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    for line in lines:
        value = line.rsplit(" ", 1)[-1]
        float(value)
    t.true("every line ends with a number", len(lines) > 10)


def unknown_paths(t: Checks) -> None:
    answer = t.http.get("/no/such/path")
    t.equal("status", answer.status_code, 404)
    t.equal("no body", answer.content, b"")
    t.equal("a trailing slash is ignored", t.http.get("/collections/").status_code, 200)


def keep_alive(t: Checks) -> None:
    """Several requests over one connection, and a body in chunks."""
    for _ in range(3):
        t.equal("status", t.http.get("/collections").status_code, 200)
    name = t.fresh()
    body = b'{"points":[{"id":1,"vector":[1,2,3,4]}]}'
    answer = t.http.put(
        f"/collections/{name}/points?wait=true",
        content=iter([body[:7], body[7:]]),
        headers={"content-type": "application/json"},
    )
    t.equal("chunked body", t.result("upsert", answer)["status"], "completed")


def routes_that_are_not_there_yet(t: Checks) -> None:
    """They say so with 501 instead of pretending."""
    name = t.fresh()
    client = t.client
    query = models.FusionQuery(fusion=models.Fusion.RRF)
    for what, call in [
        ("aliases", client.get_aliases),
        ("collection aliases", lambda: client.get_collection_aliases(name)),
        ("snapshots", lambda: client.list_snapshots(name)),
        ("create snapshot", lambda: client.create_snapshot(name)),
        ("prefetch", lambda: client.query_points(
            name, prefetch=models.Prefetch(query=[1.0] * 4), query=query)),
    ]:
        t.refused(what, call, 501)


def fields_that_are_not_there_yet(t: Checks) -> None:
    """A field that would change results or data is refused by name."""
    client = t.client
    flat = models.VectorParams(size=4, distance=models.Distance.DOT)
    multi = models.VectorParams(
        size=4,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(
            comparator=models.MultiVectorComparator.MAX_SIM
        ),
    )
    t.refused(
        "sparse_vectors",
        lambda: client.create_collection(
            t.name(), flat, sparse_vectors_config={"s": models.SparseVectorParams()}
        ),
        501, "sparse_vectors",
    )
    t.refused(
        "multivector_config", lambda: client.create_collection(t.name(), multi),
        501, "multivector_config",
    )
    t.refused(
        "strict mode",
        lambda: client.create_collection(
            t.name(), flat, strict_mode_config=models.StrictModeConfig(enabled=True)
        ),
        501, "strict_mode",
    )


CASES = [
    handshake, health, metrics, unknown_paths, keep_alive, routes_that_are_not_there_yet,
    fields_that_are_not_there_yet,
]
