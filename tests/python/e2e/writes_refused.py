"""Bad writes: refused whole, with the client's status and text, and nothing has changed."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from e2e.checks import Checks


def bad_points(t: Checks) -> None:
    client, name = t.client, t.fresh()
    client.upsert(name, [models.PointStruct(id=1, vector=[1.0] * 4, payload={"a": 1})])

    def write(points: list[Any]) -> Any:
        return t.http.put(f"/collections/{name}/points?wait=true", json={"points": points})

    good = {"id": 2, "vector": [1, 2, 3, 4]}
    t.raw_refused("dimension", write([good, {"id": 3, "vector": [1, 2, 3]}]),
                  400, "Wrong input: Vector dimension error: expected dim: 4, got 3")
    t.raw_refused("vector name", write([good, {"id": 3, "vector": {"foo": [1, 2, 3, 4]}}]),
                  400, "Wrong input: Not existing vector name error: foo")
    t.raw_refused("empty vector", write([good, {"id": 3, "vector": []}]),
                  422, "all vectors must be non-empty")
    t.raw_refused("no id", write([good, {"vector": [1, 2, 3, 4]}]), 400, "id")
    t.raw_refused("payload is a list", write([{**good, "payload": [1]}]), 400)
    t.raw_refused("text in a vector", write([{"id": 3, "vector": [1, 2, "x", 4]}]), 400)
    body = '{"points":[{"id":3,"vector":[1,2,3,%s]}]}'
    for number in ("NaN", "Infinity", "1e400", "1e39"):
        answer = t.http.put(f"/collections/{name}/points?wait=true", content=body % number,
                            headers={"content-type": "application/json"})
        t.true(f"{number}: {answer.status_code}", answer.status_code in (400, 422))
    t.equal("nothing was written", t.ids(client.scroll(name)[0]), [1])
    t.raw_refused("absent collection", t.http.put("/collections/absent/points", json={
        "points": [good]
    }), 404, "Collection `absent` doesn't exist!")


def bad_bodies(t: Checks) -> None:
    name = t.fresh()
    url = f"/collections/{name}/points"
    json_type = {"content-type": "application/json"}
    t.raw_refused("cut short", t.http.put(url, content='{"points": [', headers=json_type),
                  400, "Format error in JSON body", "line 1 column")
    t.raw_refused("empty", t.http.put(url, content="", headers=json_type), 400)
    t.raw_refused("neither form", t.http.put(url, json={"nothing": 1}), 400)
    t.raw_refused("not UTF-8", t.http.put(url, content=b'{"points": "\xff"}', headers=json_type),
                  400)
    deep = "[" * 100_000
    t.raw_refused("100,000 brackets", t.http.put(
        url, content='{"points":' + deep, headers=json_type), 400)
    wait = t.http.put(f"{url}?wait=perhaps", json={"points": []})
    t.raw_refused("wait=perhaps", wait, 400, "query param")
    large = t.http.put(url, content=b'{"points":[' + b" " * (33 << 20) + b"]}",
                       headers=json_type)
    t.true(f"33 MiB: {large.status_code}", large.status_code in (400, 413))
    t.equal("the server lives", t.client.count(name).count, 0)


def bad_selectors(t: Checks) -> None:
    client, name = t.client, t.fresh()
    client.upsert(name, [models.PointStruct(id=1, vector=[1.0] * 4, payload={"a": 1})])
    t.raw_refused("delete of nothing", t.http.post(
        f"/collections/{name}/points/delete?wait=true", json={}), 400)
    answer = t.http.post(f"/collections/{name}/points/payload?wait=true", json={
        "payload": {"b": 1}
    })
    t.true(f"set_payload without points: {answer.status_code}", answer.status_code in (400, 422))
    t.refused("delete_vectors of an unknown name",
              lambda: client.delete_vectors(name, ["nope"], [1]),
              400, "Not existing vector name error: nope")
    for what, call in [
        ("overwrite", lambda: client.overwrite_payload(name, {}, [1, 5])),
        ("clear", lambda: client.clear_payload(name, [1, 5])),
        ("delete keys", lambda: client.delete_payload(name, ["a"], [1, 5])),
    ]:
        t.refused(f"{what} with an absent id", call, 404, "No point with id 5 found")
    t.equal("requests are atomic", t.payload(name, 1), {"a": 1})


CASES = [bad_points, bad_bodies, bad_selectors]
