"""Payload: set, overwrite, delete, clear, by ids and by filter, paths, and kinds of values."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from e2e.checks import Checks


def collection_of(t: Checks, *payloads: dict[str, Any]) -> str:
    """Points 1, 2, ... with these payloads."""
    name = t.fresh()
    t.client.upsert(name, [
        models.PointStruct(id=n, vector=[1.0] * 4, payload=payload)
        for n, payload in enumerate(payloads, start=1)
    ])
    return name


def where(key: str, value: Any) -> models.Filter:
    return models.Filter(must=[
        models.FieldCondition(key=key, match=models.MatchValue(value=value))
    ])


def set_merges(t: Checks) -> None:
    client, name = t.client, collection_of(t, {"a": 1, "n": {"x": 1}}, {"a": 2}, {"b": 1})
    t.completed("by ids", client.set_payload(name, {"a": 9, "new": True}, [1]))
    t.equal("top level is merged", t.payload(name, 1), {"a": 9, "n": {"x": 1}, "new": True})
    t.completed("a null", client.set_payload(name, {"new": None}, [1]))
    t.equal("a null takes its key away", t.payload(name, 1), {"a": 9, "n": {"x": 1}})
    t.completed("by filter", client.set_payload(name, {"f": True}, where("a", 2)))
    t.equal("matching", t.payload(name, 2), {"a": 2, "f": True})
    t.equal("not matching", t.payload(name, 3), {"b": 1})
    t.completed("with a key", client.set_payload(name, {"y": 2}, [1], key="n"))
    t.equal("merged below the key", t.payload(name, 1)["n"], {"x": 1, "y": 2})
    t.completed("with a new path", client.set_payload(name, {"z": 1}, [3], key="p.q"))
    t.equal("path is made", t.payload(name, 3), {"b": 1, "p": {"q": {"z": 1}}})
    t.refused(
        "an absent point", lambda: client.set_payload(name, {"a": 1}, [44]),
        404, "Not found: No point with id 44 found",
    )


def set_below_arrays(t: Checks) -> None:
    client, name = t.client, collection_of(t, {"items": [{"k": 1}, {"k": 2}]})
    client.set_payload(name, {"v": 5}, [1], key="items[1]")
    t.equal("one element", t.payload(name, 1), {"items": [{"k": 1}, {"k": 2, "v": 5}]})
    client.set_payload(name, {"w": 6}, [1], key="items[]")
    t.equal("all elements", t.payload(name, 1),
            {"items": [{"k": 1, "w": 6}, {"k": 2, "v": 5, "w": 6}]})


def overwrite_replaces(t: Checks) -> None:
    client, name = t.client, collection_of(t, {"a": 1, "b": 2}, {"a": 1}, {"c": 3})
    t.completed("by ids", client.overwrite_payload(name, {"only": "this"}, [1]))
    t.equal("replaced", t.payload(name, 1), {"only": "this"})
    t.completed("by filter", client.overwrite_payload(name, {}, where("c", 3)))
    t.equal("emptied", t.payload(name, 3), {})
    t.equal("untouched", t.payload(name, 2), {"a": 1})


def delete_and_clear(t: Checks) -> None:
    client = t.client
    name = collection_of(
        t, {"a": 1, "b": {"c": 1, "d": 2}, "e": [{"f": 1, "g": 2}]}, {"a": 1, "z": 1}, {"a": 2}
    )
    t.completed("keys", client.delete_payload(name, ["a", "b.c", "e[].f", "absent"], [1]))
    t.equal("deleted paths", t.payload(name, 1), {"b": {"d": 2}, "e": [{"g": 2}]})
    t.completed("by filter", client.delete_payload(name, ["a"], where("z", 1)))
    t.equal("deleted by filter", t.payload(name, 2), {"z": 1})
    t.equal("untouched", t.payload(name, 3), {"a": 2})
    t.completed("clear by ids", client.clear_payload(name, [1]))
    t.equal("cleared", t.payload(name, 1), {})
    t.completed("clear by filter", client.clear_payload(
        name, models.FilterSelector(filter=where("a", 2))
    ))
    t.equal("cleared by filter", t.payload(name, 3), {})
    t.equal("vectors stay", t.vector(name, 3), [1.0] * 4)


def values_come_back_as_they_were(t: Checks) -> None:
    payload = {
        "int": 1, "negative": -(2**63), "large": 2**64 - 1, "float": 1.0, "tiny": 5e-324,
        "huge": 1.7976931348623157e308, "true": True, "null": None, "text": "ünï ☃ \u0000 \"\\\n",
        "empty": "", "list": [], "object": {}, "deep": {"a": [[1, [2.5, {"b": [None, False]}]]]},
        "z first": 1, "a last": 2,
    }
    name = collection_of(t, payload)
    got = t.payload(name, 1)
    t.equal("values", got, payload)
    for key in ("int", "float", "large", "true"):
        t.equal(f"type of {key}", type(got[key]), type(payload[key]))
    raw = t.http.get(f"/collections/{name}/points/1").json()["result"]["payload"]
    t.equal("order of keys", list(raw), list(payload))


def selectors(t: Checks) -> None:
    client = t.client
    name = collection_of(t, {"a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 1, "g": 2}]})

    def read(selector: Any) -> Any:
        return client.retrieve(name, [1], with_payload=selector)[0].payload

    t.equal("none", read(False), None)
    t.equal("a list of paths", read(["a", "b.c"]), {"a": 1, "b": {"c": 2}})
    t.equal("include", read(models.PayloadSelectorInclude(include=["e[].f"])), {"e": [{"f": 1}]})
    t.equal("exclude", read(models.PayloadSelectorExclude(exclude=["a", "b.d"])),
            {"b": {"c": 2}, "e": [{"f": 1, "g": 2}]})
    answer = t.http.post(f"/collections/{name}/points/scroll", json={
        "with_payload": {"include": ["a"], "nonsense": 1}
    })
    t.raw_refused("unknown field of a selector", answer, 400)


CASES = [
    set_merges, set_below_arrays, overwrite_replaces, delete_and_clear,
    values_come_back_as_they_were, selectors,
]
