"""Field indexes of every type: made before and after the data, dropped, changed, restarted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Iterator

from qdrant_client import models

from e2e.checks import Checks

ROWS = 600
UUID = "550e8400-e29b-41d4-a716-4466554400{:02x}"
WORDS = ["cairn", "stone", "way", "The", "graph", "Stones", "été", "a", "running"]


def payload(n: int) -> dict[str, Any]:
    """Every type, arrays, nulls, and now and then a value of another type."""
    words = [WORDS[(n * k) % len(WORDS)] for k in (1, 3, 7, 2)]
    full: dict[str, Any] = {
        "k": f"key-{n % 17}",
        "n": n % 50,
        "f": n / 7,
        "b": n % 3 == 0,
        "d": f"2024-{n % 12 + 1:02}-{n % 28 + 1:02}T{n % 24:02}:00:00Z",
        "u": UUID.format(n % 23),
        "g": {"lon": (n * 37) % 360 - 180 + 0.25, "lat": (n * 11) % 170 - 85 + 0.25},
        "t": " ".join(words),
        "items": [{"c": f"c{n % 5}", "q": n % 4}, {"c": f"c{n % 3}", "q": n % 9}],
    }
    if n % 10 == 3:
        full = {key: [value, value] if key != "items" else value for key, value in full.items()}
    if n % 10 == 4:
        full["k"], full["n"], full["d"], full["t"] = n, "n", "soon", ["cairn stone", "way graph"]
    if n % 10 == 5:
        full = {"k": None, "n": [], "t": ""}
    return full


FIELDS: dict[str, Any] = {
    "k": models.KeywordIndexParams(type="keyword", prefix=True),
    "n": models.IntegerIndexParams(type="integer", lookup=True, range=True),
    "f": models.FloatIndexParams(type="float"),
    "b": models.BoolIndexParams(type="bool"),
    "d": models.DatetimeIndexParams(type="datetime"),
    "u": models.UuidIndexParams(type="uuid"),
    "g": models.GeoIndexParams(type="geo"),
    "t": models.TextIndexParams(type="text", phrase_matching=True),
    "items[].c": models.KeywordIndexParams(type="keyword"),
    "items[].q": models.PayloadSchemaType.INTEGER,
}


def place(lon: float, lat: float) -> dict[str, float]:
    return {"lon": lon, "lat": lat}


def conditions() -> Iterator[dict[str, Any]]:
    """Conditions on every field, of every kind that its type knows, and of some that it does not."""
    tests: dict[str, list[dict[str, Any]]] = {
        "k": [{"match": {"value": "key-3"}}, {"match": {"any": ["key-1", "key-9"]}},
              {"match": {"except": ["key-1"]}}, {"match": {"prefix": "key-1"}}, {"match": {"text": "key"}}],
        "n": [{"match": {"value": 7}}, {"range": {"gte": 10, "lt": 12.5}}, {"match": {"except": [1, 2]}}],
        "f": [{"range": {"gt": 3.5, "lte": 20}}, {"match": {"value": 3}}],
        "b": [{"match": {"value": True}}],
        "d": [{"range": {"gte": "2024-03-01", "lt": "2024-06-15T12:00:00+02:00"}},
              {"match": {"value": "2024-01-01T00:00:00Z"}}],
        "u": [{"match": {"value": UUID.format(4)}}, {"match": {"except": [UUID.format(4)]}}],
        "g": [{"geo_radius": {"center": place(10, 20), "radius": 3_000_000}},
              {"geo_bounding_box": {"top_left": place(150, 40), "bottom_right": place(-150, -40)}},
              {"geo_polygon": {"exterior": {"points": [
                  place(-60, -40), place(60, -40), place(0, 60), place(-60, -40)]}}}],
        "t": [{"match": {"text": "STONE cairn"}}, {"match": {"text_any": "way graph"}},
              {"match": {"phrase": "cairn stone"}}, {"match": {"phrase": "stone way"}},
              {"match": {"text": "nowhere"}}],
    }
    for key, of_field in tests.items():
        for test in of_field:
            yield {"key": key, **test}
        yield {"is_empty": {"key": key}}
        yield {"is_null": {"key": key}}
        yield {"key": key, "values_count": {"gte": 2}}
    for c in ("c1", "c4"):
        yield {"nested": {"key": "items", "filter": {"must": [
            {"key": "c", "match": {"value": c}}, {"key": "q", "range": {"gte": 3}}]}}}


def matching(t: Checks, name: str, condition: dict[str, Any]) -> list[int]:
    body = {"filter": {"must": [condition]}, "limit": ROWS + 10, "with_payload": False}
    answer = t.http.post(f"/collections/{name}/points/scroll", json=body)
    return [point["id"] for point in t.result(f"{condition}", answer)["points"]]


def upload(t: Checks, name: str) -> None:
    t.client.upload_points(name, [
        models.PointStruct(id=n, vector=[float(n % 7), 1.0, 2.0, 3.0], payload=payload(n))
        for n in range(ROWS)
    ], batch_size=150, wait=True)


def seal(t: Checks, name: str) -> None:
    """Everything into sealed segments."""
    t.equal("run", t.http.post(f"/collections/{name}/optimizations/run").status_code, 200)
    t.eventually("sealed", lambda: not t.client.get_optimizations(name).running)


def covered(t: Checks, name: str) -> dict[str, Any]:
    def own() -> dict[str, Any]:
        return t.http.get(f"/collections/{name}").json()["result"]["cairn"]["field_indexes"]

    # A merge that began before the index was made is followed by a job for the column.
    t.eventually("every index covers every segment", lambda: all(
        index["segments_covered"] == index["segments"] for index in own().values()
    ))
    return own()


def every_type(t: Checks) -> None:
    """The same answers without an index, with one made before the data, and with one made after."""
    client = t.client
    plain, before, after = t.fresh(), t.fresh(), t.fresh()
    for field, schema in FIELDS.items():
        t.completed(f"before: {field}", client.create_payload_index(before, field, schema))
    for name in (plain, before, after):
        upload(t, name)
    wanted = {str(condition): matching(t, plain, condition) for condition in conditions()}
    t.true("conditions match something", sum(map(bool, wanted.values())) > 30)
    for name in (before, after):
        seal(t, name)
    for field, schema in FIELDS.items():
        t.completed(f"after: {field}", client.create_payload_index(after, field, schema))
    for name in (before, after):
        covered(t, name)
        for condition in conditions():
            t.equal(f"{name} {condition}", matching(t, name, condition), wanted[str(condition)])
    for field in FIELDS:
        t.completed(f"drop {field}", client.delete_payload_index(after, field))
    t.equal("all dropped", client.get_collection(after).payload_schema, {})
    for condition in conditions():
        t.equal(f"dropped {condition}", matching(t, after, condition), wanted[str(condition)])


def counts_are_true(t: Checks) -> None:
    """`points` follows deletes and payload changes, in memory and in segments."""
    client, name = t.client, t.fresh()
    for field, schema in FIELDS.items():
        client.create_payload_index(name, field, schema)

    def points(field: str) -> int:
        return client.get_collection(name).payload_schema[field].points

    def truth(field: str, fits: Any) -> int:
        found, _ = client.scroll(name, limit=ROWS + 10)
        values = [point.payload.get(field) for point in found]
        lists = [value if isinstance(value, list) else [value] for value in values if value is not None]
        return sum(bool(items) and all(fits(item) for item in items) for items in lists)

    def check(when: str) -> None:
        t.equal(f"{when}: k", points("k"), truth("k", lambda v: isinstance(v, str)))
        t.equal(f"{when}: n", points("n"), truth("n", lambda v: isinstance(v, int)))
        t.equal(f"{when}: d", points("d"), truth("d", lambda v: v != "soon"))
        t.equal(f"{when}: g", points("g"), truth("g", lambda v: isinstance(v, dict)))

    upload(t, name)
    check("in memory")
    seal(t, name)
    check("sealed")
    client.delete(name, [1, 2, 3, 9])
    client.set_payload(name, {"k": 5, "n": 5}, [10, 11, 12, 14])
    check("changed")
    own = covered(t, name)
    t.true("bytes are told", all(index["bytes"] > 0 for index in own.values()))


def changed_settings(t: Checks) -> None:
    """An index that is put again with other parameters means what the new ones say."""
    client, name = t.client, t.fresh()
    texts = ["The running stones", "café au lait", "C++ and C#", "we ran", "stone-age"]
    client.upsert(name, [models.PointStruct(id=n, vector=[1.0] * 4, payload={"t": text})
                         for n, text in enumerate(texts)])
    seal(t, name)

    def found(kind: str, query: str) -> list[int]:
        return matching(t, name, {"key": "t", "match": {kind: query}})

    def index(**params: Any) -> None:
        schema = models.TextIndexParams(type="text", **params)
        t.completed(f"{params}", client.create_payload_index(name, "t", schema))
        covered(t, name)

    for field_type in (models.PayloadSchemaType.KEYWORD, models.PayloadSchemaType.TEXT):
        t.completed("a type", client.create_payload_index(name, "t", field_type))
        t.equal("type", client.get_collection(name).payload_schema["t"].data_type, field_type)
        t.equal("words", found("text", "stone"), [4])
    index(stemmer=models.SnowballParams(type="snowball", language="english"))
    t.equal("stems", found("text", "stone run"), [0])
    index(ascii_folding=True)
    t.equal("no stems", found("text", "stone run"), [])
    t.equal("folded", found("text", "CAFE"), [1])
    index(tokenizer="whitespace")
    t.equal("whitespace", (found("text", "c++"), found("text", "stone")), ([2], []))
    index(tokenizer="prefix", min_token_len=2, max_token_len=4)
    t.equal("prefixes", (found("text", "ston"), found("text", "st ca")), ([0, 4], []))
    index(stopwords="english", phrase_matching=True)
    t.equal("stop words", (found("phrase", "running stones"), found("text", "the")), ([0], []))


def bad_indexes(t: Checks) -> None:
    name = t.fresh()

    def put(what: str, schema: Any, status: int, text: str) -> None:
        body = {"field_name": "a", "field_schema": schema}
        t.raw_refused(what, t.http.put(f"/collections/{name}/index", json=body), status, text)

    put("an unknown type", "number", 400, "unknown type `number`")
    put("an unknown tokenizer", {"type": "text", "tokenizer": "x"}, 400, "tokenizer")
    put("an unknown stemmer", {"type": "text", "stemmer": {"type": "snowball", "language": "x"}}, 400, "`x`")
    put("an unknown stop list", {"type": "text", "stopwords": "x"}, 400, "`x`")
    put("lengths", {"type": "text", "min_token_len": 9, "max_token_len": 3}, 422, "min_token_len")
    put("nothing left", {"type": "integer", "lookup": False, "range": False}, 422, "lookup")
    put("not nested", {"type": "keyword", "nested": "b"}, 422, "nested")


def restarted(t: Checks) -> None:
    """Indexes are there after a stop and after SIGKILL, those in the making too."""
    if t.node is None:
        return
    name = t.fresh()
    upload(t, name)
    wanted = {str(condition): matching(t, name, condition) for condition in conditions()}
    seal(t, name)
    for stop in (t.node.kill, t.node.stop):
        for field, schema in FIELDS.items():
            t.client.create_payload_index(name, field, schema, wait=stop is t.node.stop)
        stop()
        t.node.start()
        t.moved(t.node.url)
        t.equal("fields", sorted(t.client.get_collection(name).payload_schema), sorted(FIELDS))
        for condition in conditions():
            t.equal(f"restarted {condition}", matching(t, name, condition), wanted[str(condition)])
        t.eventually("covered", lambda: all(
            index["segments_covered"] == index["segments"]
            for index in t.http.get(f"/collections/{name}").json()["result"]["cairn"]["field_indexes"].values()
        ))
        for field in FIELDS:
            t.client.delete_payload_index(name, field)


def long_texts(t: Checks) -> None:
    """A word or a phrase as long as a request costs no more than its length."""
    name = t.fresh()
    prefixes = models.TextIndexParams(type="text", tokenizer=models.TokenizerType.PREFIX)
    t.client.create_payload_index(name, "word", prefixes, wait=True)
    t.client.upsert(name, wait=True, points=[
        models.PointStruct(id=1, vector=[1, 2, 3, 4], payload={"word": "x" * 150_000}),
        models.PointStruct(id=2, vector=[1, 2, 3, 4], payload={"text": "a b " * 15_000}),
    ])
    seal(t, name)
    t.equal("by prefix", matching(t, name, {"key": "word", "match": {"text": "x" * 60}}), [1])
    long = {"key": "word", "match": {"text": "x" * 100_000}}
    t.equal("by a long prefix", matching(t, name, long), [1])
    phrase = {"key": "text", "match": {"phrase": "a b " * 2_000}}
    t.equal("by a long phrase", matching(t, name, phrase), [2])
    body = {"filter": {"must": [{"key": "text", "match": {"phrase": "a b " * 3_000}}]}}
    answer = t.http.post(f"/collections/{name}/points/count", json=body)
    t.equal("too many tokens", answer.status_code, 400)
    t.equal("said so", "6000 tokens" in answer.text, True)


def dropped_while_waited_for(t: Checks) -> None:
    """Who waits for an index that another one drops waits no longer."""
    name = t.fresh()

    def take_turns() -> None:
        for _ in range(20):
            made = t.http.put(
                f"/collections/{name}/index?wait=true",
                json={"field_name": "k", "field_schema": "keyword"},
            )
            t.equal("made", made.status_code, 200)
            dropped = t.http.delete(f"/collections/{name}/index/k?wait=true")
            t.equal("dropped", dropped.status_code, 200)

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(take_turns) for _ in range(4)]:
            each.result(timeout=60)


CASES = [
    every_type, counts_are_true, changed_settings, bad_indexes, restarted, long_texts,
    dropped_while_waited_for,
]
