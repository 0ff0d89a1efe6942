"""Listings by a field, facets, groups, selectors: the client against its own in-memory mode."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from random import Random
from typing import Any

from qdrant_client import QdrantClient, models

from e2e.checks import Checks

SEEDS = [21, 22, 23]
START = datetime(2024, 5, 10, 10, 30, tzinfo=timezone.utc)
COUNT = 400
INDEXES = {
    "n": models.PayloadSchemaType.INTEGER,
    "price": models.PayloadSchemaType.FLOAT,
    "color": models.PayloadSchemaType.KEYWORD,
    "flag": models.PayloadSchemaType.BOOL,
    "many": models.PayloadSchemaType.INTEGER,
    "at": models.PayloadSchemaType.DATETIME,
    "key": models.PayloadSchemaType.UUID,
}


class Pair:
    """The same random points on the server and in memory: several segments, some points replaced,
    some payloads overwritten, some points dead."""

    def __init__(self, t: Checks, seed: int) -> None:
        print(f"lists: seed {seed}")
        self.t, self.rng = t, Random(seed)
        vectors = models.VectorParams(size=4, distance=models.Distance.EUCLID)
        self.name = t.fresh(vectors_config=vectors)
        self.memory = QdrantClient(":memory:")
        self.memory.create_collection(self.name, vectors)
        for field, kind in INDEXES.items():
            t.client.create_payload_index(self.name, field, kind, wait=True)
        ids = list(range(COUNT))
        ids += [str(uuid.UUID(int=self.rng.getrandbits(128))) for _ in range(COUNT // 4)]
        self.rng.shuffle(ids)
        for part in range(5):
            self.both("upsert", points=[self.point(id_) for id_ in ids[part::5]])
            self.both("upsert", points=[self.point(id_) for id_ in self.rng.sample(ids[0::5], 9)])
            self.both("overwrite_payload", payload=self.payload(), points=ids[part:9 + part:5])
            self.both("delete", points_selector=self.rng.sample(ids[0::5], 6))
            if part < 4:
                t.http.post(f"/collections/{self.name}/optimizations/run")

    def both(self, method: str, **arguments: Any) -> None:
        """A write on both sides; ids that are not there change nothing."""
        for side in (self.t.client, self.memory):
            getattr(side, method)(self.name, **arguments)

    def point(self, id_: Any) -> models.PointStruct:
        vector = [self.rng.random() for _ in range(4)]
        return models.PointStruct(id=id_, vector=vector, payload=self.payload())

    def payload(self) -> dict[str, Any]:
        rng = self.rng
        drawn: dict[str, Any] = {
            "n": rng.randint(-20, 20),
            "price": rng.choice([rng.randint(0, 9) / 4, rng.random()]),
            "color": rng.choice(["red", "green", "blue", "größe", ""]),
            "flag": rng.random() < 0.3,
            "at": [
                f"2024-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}{rest}" for rest in rng.sample(
                    ["", "T10:30:00", " 11:00", "T10:30:00.25Z", "T12:30:00+02:00"],
                    rng.randint(1, 2))
            ],
            "key": str(uuid.UUID(int=rng.randint(1, 12))),
            "many": [rng.randint(0, 12) for _ in range(rng.randint(0, 3))],
            "nested": {"doc": rng.choice([rng.randint(0, 30), f"doc-{rng.randint(0, 30)}"])},
        }
        return {key: value for key, value in drawn.items() if rng.random() < 0.85}

    def filter(self) -> models.Filter | None:
        rng = self.rng
        draw = rng.choice([
            lambda: None,
            lambda: models.FieldCondition(key="n", range=models.Range(gte=rng.randint(-20, 20))),
            lambda: models.FieldCondition(
                key="color", match=models.MatchAny(any=rng.sample(["red", "blue", ""], 2))),
            lambda: models.FieldCondition(
                key="nested.doc", match=models.MatchValue(value=rng.randint(0, 30))),
            lambda: models.FieldCondition(key="many", is_empty=True),
        ])()
        return None if draw is None else models.Filter(must=[draw])


def listing(records: list[Any]) -> list[tuple[Any, str]]:
    """In an order that does not depend on how equal values are arranged."""
    return sorted(((r.order_value, str(r.id)) for r in records), key=lambda entry: str(entry))


def plain(order: dict[str, Any]) -> dict[str, Any]:
    """As JSON."""
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in order.items()}


def whole(pair: Pair, order_by: dict[str, Any], filter_: Any) -> list[Any]:
    arguments = {"scroll_filter": filter_, "limit": 10_000}
    return pair.memory.scroll(pair.name, order_by=models.OrderBy(**order_by), **arguments)[0]


def pages_by_a_field(t: Checks) -> None:
    """Every page of every field in both directions, with and without a filter and a start."""
    compared = 0
    for seed in SEEDS:
        pair = Pair(t, seed)
        for _ in range(12):
            key = pair.rng.choice(["n", "price", "many", "at"])
            order_by: dict[str, Any] = {
                "key": key, "direction": pair.rng.choice(["asc", "desc"]),
            }
            if key == "at" and pair.rng.random() < 0.5:
                order_by["start_from"] = pair.rng.choice([START, START.timestamp() * 1e6])
            elif pair.rng.random() < 0.5:
                order_by["start_from"] = pair.rng.choice([0, 3, 0.5, 1.75])
            filter_ = pair.filter()
            want = whole(pair, order_by, filter_)
            got, rest = t.client.scroll(
                pair.name, scroll_filter=filter_, order_by=models.OrderBy(**order_by),
                limit=10_000, with_vectors=True)
            t.equal("no offset", rest, None)
            t.equal(f"{order_by}", listing(got), listing(want))
            values = [record.order_value for record in got]
            t.equal("sorted", values, sorted(values, reverse=order_by["direction"] == "desc"))
            payloads = {record.id: record.payload for record in want}
            t.true("payloads", all(payloads[r.id] == r.payload for r in got))
            compared += len(got)

            pages: list[tuple[Any, str]] = []
            order: Any = order_by
            body = {"limit": pair.rng.choice([3, 7, 50]), "with_payload": False}
            if filter_ is not None:
                body["filter"] = filter_.model_dump(exclude_none=True)
            while order is not None:
                answer = t.http.post(f"/collections/{pair.name}/points/scroll",
                                     json=body | {"order_by": plain(order)})
                page = t.result("page", answer)
                pages += [(r["order_value"], str(r["id"])) for r in page["points"]]
                order = page.get("cairn", {}).get("next_order_by")
            t.equal("pages", pages, [(r.order_value, str(r.id)) for r in got])

            query = models.OrderByQuery(order_by=models.OrderBy(**order_by))
            hits = t.client.query_points(pair.name, query=query, query_filter=filter_, limit=5,
                                         offset=1).points
            t.equal("as a query", [(h.order_value, str(h.id)) for h in hits], pages[1:6])
    t.true(f"{compared} entries", compared > 3_000)


def facets_of_fields(t: Checks) -> None:
    compared = 0
    for seed in SEEDS:
        pair = Pair(t, seed)
        for _ in range(15):
            arguments = {
                "key": pair.rng.choice(["n", "color", "flag", "many", "key"]),
                "facet_filter": pair.filter(),
                "limit": pair.rng.choice([1, 3, 100]),
                "exact": pair.rng.random() < 0.5,
            }
            got = t.client.facet(pair.name, **arguments).hits
            want = pair.memory.facet(pair.name, **arguments).hits
            t.equal(f"facet {arguments}", [(h.value, h.count) for h in got],
                    [(h.value, h.count) for h in want])
            compared += len(got)
    t.true(f"{compared} values", compared > 200)
    t.refused("no index", lambda: t.client.facet(pair.name, key="nested.doc"),
              400, "Wrong input: No appropriate index for faceting: `nested.doc`.")


def groups_with_lookup(t: Checks) -> None:
    compared = looked_up = 0
    for seed in SEEDS:
        pair = Pair(t, seed)
        other = t.name()
        for side in (t.client, pair.memory):
            side.create_collection(other, models.VectorParams(
                size=2, distance=models.Distance.DOT))
            side.upsert(other, [
                models.PointStruct(id=n, vector=[float(n), 1.0], payload={"title": f"t{n}", "n": n})
                for n in range(0, 20, 2)
            ])
        for _ in range(12):
            lookup = models.WithLookup(
                collection=other, with_payload=pair.rng.choice([True, False, ["title"]]),
                with_vectors=pair.rng.random() < 0.5)
            arguments: dict[str, Any] = {
                "group_by": pair.rng.choice(["n", "many", "many[]", "color", "nested.doc"]),
                "query": [pair.rng.random() for _ in range(4)],
                "query_filter": pair.filter(),
                "limit": pair.rng.choice([1, 4, 50]),
                "group_size": pair.rng.choice([1, 3, 40]),
                "with_payload": pair.rng.choice([True, False, ["n", "color"]]),
                "with_lookup": lookup,
            }
            if pair.rng.random() < 0.3:
                arguments["score_threshold"] = 0.5
            got = t.client.query_points_groups(pair.name, **arguments).groups
            # In memory a point with several values has its groups in no particular order, which
            # decides where a limit cuts.
            everything = pair.memory.query_points_groups(
                pair.name, **(arguments | {"limit": 10_000})).groups
            want = {group.id: group for group in everything}
            what = f"groups {arguments}"
            t.equal(what, len(got), min(len(want), arguments["limit"]))
            best = [group.hits[0].score for group in everything][:len(got)]
            t.close(what, [group.hits[0].score for group in got], best, 1e-4)
            for group in got:
                true = want[group.id]
                t.equal(what, t.ids(group.hits), t.ids(true.hits))
                t.equal(what, [h.payload for h in group.hits], [h.payload for h in true.hits])
                t.equal(f"{what}: lookup of {group.id}",
                        group.lookup and group.lookup.model_dump(),
                        true.lookup and true.lookup.model_dump())
                compared += len(group.hits)
                looked_up += group.lookup is not None
    t.true(f"{compared} hits, {looked_up} looked up", compared > 700 and looked_up > 50)
    t.refused("no such collection", lambda: t.client.query_points_groups(
        pair.name, group_by="n", with_lookup="absent"), 404, "Collection absent not found")


def samples_and_matrices(t: Checks) -> None:
    pair = Pair(t, SEEDS[0])
    filter_ = models.Filter(must=[
        models.FieldCondition(key="color", match=models.MatchValue(value="red"))])
    red = {r.id for r in pair.memory.scroll(pair.name, scroll_filter=filter_, limit=10_000)[0]}
    query = models.SampleQuery(sample=models.Sample.RANDOM)
    drawn = [
        t.ids(t.client.query_points(pair.name, query=query, query_filter=filter_, limit=20).points)
        for _ in range(4)
    ]
    for ids in drawn:
        t.equal("drawn", (len(ids), len(set(ids))), (20, 20))
        t.true("of those that match", set(ids) <= red)
    t.true("not always the same", len({tuple(ids) for ids in drawn}) > 1)
    everything = t.client.query_points(pair.name, query=query, query_filter=filter_, limit=10_000)
    t.equal("all", set(t.ids(everything.points)), red)

    arguments = {"query_filter": filter_, "sample": 10_000, "limit": 3}
    got = t.client.search_matrix_offsets(pair.name, **arguments)
    want = pair.memory.search_matrix_offsets(pair.name, **arguments)
    t.equal("ids", set(got.ids), set(want.ids))
    t.equal("rows", len(got.offsets_row), len(want.offsets_row))
    t.close("scores", sorted(got.scores), sorted(want.scores), 1e-4)
    got_pairs = t.client.search_matrix_pairs(pair.name, **arguments).pairs
    want_pairs = pair.memory.search_matrix_pairs(pair.name, **arguments).pairs
    t.equal("pairs", {(p.a, p.b) for p in got_pairs}, {(p.a, p.b) for p in want_pairs})


def selectors_of_records(t: Checks) -> None:
    pair, compared = Pair(t, SEEDS[0]), 0
    for selector in [
        True, False, ["n", "nested.doc"], models.PayloadSelectorInclude(include=["color"]),
        models.PayloadSelectorExclude(exclude=["many", "nested"]),
    ]:
        for vectors in [True, False, [""]]:
            arguments = {"limit": 1_000, "with_payload": selector, "with_vectors": vectors}
            got = t.client.scroll(pair.name, order_by="n", **arguments)[0]
            memory = pair.memory.scroll(pair.name, order_by="n", **arguments)[0]
            want = {record.id: record for record in memory}
            for record in got:
                true = want[record.id]
                t.equal("payload", record.payload, true.payload)
                t.equal("vector", record.vector is None, true.vector is None)
                if isinstance(true.vector, list):
                    t.close("vector", record.vector, true.vector, 1e-6)
                compared += 1
    t.true(f"{compared} records", compared > 3_000)


CASES = [
    pages_by_a_field, facets_of_fields, groups_with_lookup, samples_and_matrices,
    selectors_of_records,
]
