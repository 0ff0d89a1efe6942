"""Rows in the order of their tenants: the same answers as without, in memory, sealed, restarted."""

from __future__ import annotations

import random
from typing import Any

from qdrant_client import models

from e2e.checks import Checks
from e2e.field_indexes import seal

ROWS = 1_200
TENANTS = 12
DIM = 16
SEED = 20261123


def points() -> list[models.PointStruct]:
    """Of a tenant each, but for some of two and some of none."""
    drawn = random.Random(SEED)
    made = []
    for n in range(ROWS):
        who: Any = f"tenant-{drawn.randrange(TENANTS)}"
        if n % 40 == 7:
            who = [who, "tenant-3"]
        payload = {"who": who, "n": drawn.randrange(100), "note": f"note {n}"}
        if n % 40 == 9:
            del payload["who"]
        vector = [drawn.random() - 0.5 for _ in range(DIM)]
        made.append(models.PointStruct(id=n, vector=vector, payload=payload))
    return made


def of_tenant(who: str) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key="who", match=models.MatchValue(value=who))])


def answers(t: Checks, name: str) -> dict[str, Any]:
    """All that is asked about every tenant."""
    client, found = t.client, {}
    drawn = random.Random(SEED + 1)
    for who in [f"tenant-{n}" for n in range(TENANTS)]:
        filtered = of_tenant(who)
        query = [drawn.random() - 0.5 for _ in range(DIM)]
        near = client.query_points(name, query=query, query_filter=filtered, limit=15, with_payload=True)
        exact = client.query_points(
            name, query=query, query_filter=filtered, limit=15, with_vectors=True,
            search_params=models.SearchParams(exact=True),
        )
        t.equal(f"{who}: as by the exact scan", t.ids(near.points), t.ids(exact.points))
        listed, _ = client.scroll(name, filtered, limit=ROWS, with_vectors=True)
        ordered, _ = client.scroll(name, filtered, limit=10, order_by=models.OrderBy(key="n"))
        found[who] = {
            "near": [(p.id, round(p.score, 5), p.payload) for p in near.points],
            "listed": [(p.id, p.payload, p.vector) for p in listed],
            "ordered": t.ids(ordered),
            "count": client.count(name, filtered).count,
        }
    found["facets"] = [(hit.value, hit.count) for hit in client.facet(name, "who", limit=50).hits]
    return found


def blocks(t: Checks, name: str, who: str) -> int:
    """Blocks with rows of the tenant, by the plan."""
    body = {
        "query": [0.1] * DIM,
        "filter": {"must": [{"key": "who", "match": {"value": who}}]},
    }
    answer = t.http.post(f"/collections/{name}/points/query/explain", json=body)
    sources = t.result("explain", answer)["sources"]
    return sum(source["matching"]["blocks"] for source in sources)


def change(t: Checks, name: str) -> None:
    """Points go, move to another tenant, and come anew."""
    client = t.client
    client.set_payload(name, {"who": "tenant-1"}, list(range(5, ROWS, 13)), wait=True)
    client.delete(name, list(range(0, ROWS, 11)), wait=True)
    client.upsert(name, points()[4::17], wait=True)


def the_same_answers(t: Checks) -> None:
    """With `is_tenant` and `is_principal`, and without; both restart with what they had."""
    vectors = models.VectorParams(size=DIM, distance=models.Distance.EUCLID)
    plain, ordered = t.fresh(vectors_config=vectors), t.fresh(vectors_config=vectors)
    later = t.fresh(vectors_config=vectors)
    names = (plain, ordered, later)

    def index(name: str, leads: bool | None) -> None:
        t.completed("who", t.client.create_payload_index(name, "who", models.KeywordIndexParams(
            type=models.KeywordIndexType.KEYWORD, is_tenant=leads)))
        t.completed("n", t.client.create_payload_index(name, "n", models.IntegerIndexParams(
            type=models.IntegerIndexType.INTEGER, lookup=True, range=True, is_principal=leads)))

    index(plain, None)
    index(ordered, True)
    index(later, None)
    told = t.http.get(f"/collections/{ordered}").json()["result"]
    t.equal("no warning", [line for line in told.get("warnings", []) if "payload_schema" in str(line)], [])

    def agree(when: str) -> None:
        wanted = answers(t, plain)
        for name in names[1:]:
            t.equal(f"{when}: {name}", answers(t, name), wanted)

    for name in names:
        t.client.upload_points(name, points()[: ROWS // 2], batch_size=100, wait=True)
    agree("in memory")
    for name in names:
        seal(t, name)
        t.client.upload_points(name, points()[ROWS // 2:], batch_size=100, wait=True)
        seal(t, name)
    agree("sealed")
    apart, together = blocks(t, plain, "tenant-5"), blocks(t, ordered, "tenant-5")
    t.true(f"few blocks: {together} of {apart}", together * 2 < apart)
    index(later, True)
    for name in names:
        change(t, name)
    agree("changed")
    for name in names:
        seal(t, name)
    agree("sealed again")
    if t.node is None:
        return
    for stop in (t.node.kill, t.node.stop):
        stop()
        t.node.start()
        t.moved(t.node.url)
        agree("restarted")
        together = blocks(t, ordered, "tenant-5")
        t.true(f"few blocks: {together} of {apart}", together * 2 < apart)


CASES = [the_same_answers]
