"""Reading: scroll, count, filters, query by vector, by id and without, batches, legacy search."""

from __future__ import annotations

import math
from typing import Any

from qdrant_client import models
from qdrant_client.local.siphash import point_id_slice

from e2e.checks import Checks

POINTS: list[dict[str, Any]] = [
    {"city": "Berlin", "n": 1, "f": 0.5, "flag": True, "tags": ["a", "b"]},
    {"city": "Paris", "n": 2, "f": 1.5, "flag": False, "tags": ["b"]},
    {"city": "Rome", "n": 3, "f": 2.5, "flag": True, "tags": []},
    {"city": ["Berlin", "Rome"], "n": None, "nested": {"x": 1, "arr": [{"k": 1}, {"k": 2}]}},
    {"n": 5, "f": 4.5, "tags": ["c"], "nested": {"x": 2}},
    {},
]


def sample(t: Checks, **arguments: Any) -> str:
    """Points 1..6 on a line, so that distances are known."""
    name = t.fresh(
        vectors_config=models.VectorParams(size=2, distance=models.Distance.EUCLID), **arguments
    )
    t.client.upsert(name, [
        models.PointStruct(id=n, vector=[float(n), 0.0], payload=payload)
        for n, payload in enumerate(POINTS, start=1)
    ])
    return name


def field(key: str, **test: Any) -> models.FieldCondition:
    return models.FieldCondition(key=key, **test)


def value(value_: Any) -> models.MatchValue:
    return models.MatchValue(value=value_)


def slice_of(index: int) -> models.Filter:
    return models.Filter(must=[models.SliceCondition(slice=models.Slice(total=3, index=index))])


def sliced(index: int) -> list[int]:
    """The points of a slice, as the client hashes ids."""
    return [id_ for id_ in range(1, len(POINTS) + 1) if point_id_slice(id_, 3) == index]


def filters(t: Checks) -> None:
    """Every kind of condition, without an index and with one."""
    name = sample(t)
    not_ = models.MatchExcept(**{"except": ["Berlin"]})
    path = models.PayloadField
    cases: list[tuple[str, models.Filter, list[int]]] = [
        ("match text", models.Filter(must=[field("city", match=value("Berlin"))]), [1, 4]),
        ("match integer", models.Filter(must=[field("n", match=value(2))]), [2]),
        ("match bool", models.Filter(must=[field("flag", match=value(False))]), [2]),
        ("match any", models.Filter(must=[
            field("city", match=models.MatchAny(any=["Paris", "Rome"]))]), [2, 3, 4]),
        ("match any integer", models.Filter(must=[
            field("n", match=models.MatchAny(any=[1, 5, 9]))]), [1, 5]),
        ("match except", models.Filter(must=[field("city", match=not_)]), [2, 3, 4]),
        ("range", models.Filter(must=[field("f", range=models.Range(gt=0.5, lte=2.5))]), [2, 3]),
        ("range of integers", models.Filter(must=[field("n", range=models.Range(gte=3))]), [3, 5]),
        ("is_empty", models.Filter(must=[
            models.IsEmptyCondition(is_empty=path(key="tags"))]), [3, 4, 6]),
        ("is_null", models.Filter(must=[models.IsNullCondition(is_null=path(key="n"))]), [4]),
        ("field is_empty", models.Filter(must=[field("tags", is_empty=False)]), [1, 2, 5]),
        ("field is_null", models.Filter(must=[field("n", is_null=True)]), [4]),
        ("has_id", models.Filter(must=[models.HasIdCondition(has_id=[2, 6, 99])]), [2, 6]),
        ("nested path", models.Filter(must=[field("nested.x", match=value(2))]), [5]),
        ("path into arrays", models.Filter(must=[field("nested.arr[].k", match=value(2))]), [4]),
        ("should", models.Filter(should=[
            field("n", match=value(1)), field("n", match=value(2))]), [1, 2]),
        ("must_not", models.Filter(must_not=[field("flag", match=value(True))]), [2, 4, 5, 6]),
        ("all together", models.Filter(
            must=[field("f", range=models.Range(lt=4))],
            should=[field("city", match=value("Berlin")), field("city", match=value("Rome"))],
            must_not=[field("n", match=value(3))]), [1]),
        ("min_should", models.Filter(min_should=models.MinShould(
            conditions=[field("flag", match=value(True)), field("tags", match=value("b")),
                        field("n", range=models.Range(lte=2))], min_count=2)), [1, 2]),
        ("filter in a filter", models.Filter(should=[
            models.Filter(must=[field("n", match=value(1)), field("flag", match=value(True))]),
            models.Filter(must_not=[models.IsEmptyCondition(is_empty=path(key="nested"))]),
        ]), [1, 4, 5]),
        ("match text of words", models.Filter(must=[
            field("city", match=models.MatchText(text="BERLIN"))]), [1, 4]),
        ("match text_any", models.Filter(must=[
            field("city", match=models.MatchTextAny(text_any="rome or paris"))]), [2, 3, 4]),
        ("match phrase", models.Filter(must=[
            field("city", match=models.MatchPhrase(phrase="berlin"))]), [1, 4]),
        ("match prefix", models.Filter(must=[
            field("city", match=models.MatchPrefix(prefix="Pa"))]), [2]),
        ("values_count", models.Filter(must=[
            field("city", values_count=models.ValuesCount(gte=2))]), [4]),
        ("no values", models.Filter(must=[
            field("tags", values_count=models.ValuesCount(lt=1))]), [3, 4, 6]),
        ("nested", models.Filter(must=[models.NestedCondition(nested=models.Nested(
            key="nested.arr", filter=models.Filter(must=[field("k", match=value(2))])))]), [4]),
        ("nested, together", models.Filter(must=[models.NestedCondition(nested=models.Nested(
            key="nested.arr[]", filter=models.Filter(
                must=[field("k", match=value(1)), field("k", match=value(2))])))]), []),
        ("has_vector", models.Filter(must=[
            models.HasVectorCondition(has_vector="")]), [1, 2, 3, 4, 5, 6]),
        ("has_vector unknown", models.Filter(must=[
            models.HasVectorCondition(has_vector="other")]), []),
        ("slice 0 of 3", slice_of(0), sliced(0)),
        ("slice 1 of 3", slice_of(1), sliced(1)),
        ("slice 2 of 3", slice_of(2), sliced(2)),
        ("one condition, no list", models.Filter(must=field("n", match=value(5))), [5]),
        ("empty filter", models.Filter(), [1, 2, 3, 4, 5, 6]),
    ]
    for round_ in ("unindexed", "indexed", "in a segment"):
        for what, condition, want in cases:
            got = t.ids(t.client.scroll(name, scroll_filter=condition, limit=100)[0])
            t.equal(f"{round_}: {what}", got, want)
            count = t.client.count(name, count_filter=condition).count
            t.equal(f"{round_}: count of {what}", count, len(want))
            hits = t.client.query_points(name, query=[0.0, 0.0], query_filter=condition)
            t.equal(f"{round_}: query with {what}", t.ids(hits.points), want)
        if round_ == "unindexed":
            for key, kind in [("city", "keyword"), ("n", "integer"), ("f", "float"),
                              ("flag", "bool"), ("tags", "keyword"), ("nested.x", "integer")]:
                t.client.create_payload_index(name, key, models.PayloadSchemaType(kind))
        else:
            t.http.post(f"/collections/{name}/optimizations/run")
            t.eventually("green", lambda: (
                t.client.get_collection(name).status == models.CollectionStatus.GREEN))


def dates_and_places(t: Checks) -> None:
    """Ranges of dates and shapes on the earth, as the official client sends them."""
    name = t.fresh()
    berlin, paris = {"lon": 13.4, "lat": 52.5}, {"lon": 2.35, "lat": 48.86}
    fiji, samoa = {"lon": 178.4, "lat": -18.1}, {"lon": -171.8, "lat": -13.8}
    payloads = [
        {"when": "2024-01-31", "where": berlin}, {"when": "2024-01-31T12:00:00+02:00", "where": paris},
        {"when": ["2020-05-01 10:00", "soon"], "where": [berlin, fiji]}, {"when": 1, "where": samoa}, {},
    ]
    t.client.upsert(name, [
        models.PointStruct(id=n, vector=[1, 0, 0, 0], payload=payload)
        for n, payload in enumerate(payloads, start=1)
    ])
    point = lambda lon, lat: models.GeoPoint(lon=lon, lat=lat)
    ring = lambda *points: models.GeoLineString(points=[point(*at) for at in [*points, points[0]]])
    europe = ring((0, 45), (20, 45), (20, 55), (0, 55))
    around_paris = ring((1, 48), (4, 48), (4, 50), (1, 50))
    cases = [
        ("dates", field("when", range=models.DatetimeRange(gte="2024-01-31T00:00:00Z")), [1, 2]),
        ("dates with a zone", field("when", range=models.DatetimeRange(
            gt="2024-01-31T00:00:00Z", lt="2024-01-31T10:00:00.000001Z")), [2]),
        ("dates before", field("when", range=models.DatetimeRange(lt="2021-01-01T00:00:00Z")), [3]),
        ("radius", field("where", geo_radius=models.GeoRadius(center=point(13.4, 52.6), radius=20_000)), [1, 3]),
        ("box", field("where", geo_bounding_box=models.GeoBoundingBox(
            top_left=point(0, 50), bottom_right=point(5, 48))), [2]),
        ("box over the antimeridian", field("where", geo_bounding_box=models.GeoBoundingBox(
            top_left=point(170, 0), bottom_right=point(-170, -30))), [3, 4]),
        ("polygon", field("where", geo_polygon=models.GeoPolygon(exterior=europe)), [1, 2, 3]),
        ("polygon with a hole", field("where", geo_polygon=models.GeoPolygon(
            exterior=europe, interiors=[around_paris])), [1, 3]),
    ]
    for round_ in ("in memory", "in a segment"):
        for what, condition, want in cases:
            got = t.ids(t.client.scroll(name, scroll_filter=models.Filter(must=[condition]))[0])
            t.equal(f"{round_}: {what}", got, want)
        t.http.post(f"/collections/{name}/optimizations/run")
        t.eventually("green", lambda: (
            t.client.get_collection(name).status == models.CollectionStatus.GREEN))


def writes_by_vector(t: Checks) -> None:
    """A write that selects by has_vector sees the operations before it in its request."""
    space = models.VectorParams(size=1, distance=models.Distance.DOT)
    name = t.fresh(vectors_config={"a": space, "b": space})
    t.client.upsert(name, [
        models.PointStruct(id=1, vector={"a": [1]}), models.PointStruct(id=2, vector={"a": [1], "b": [1]}),
        models.PointStruct(id=3, vector={"b": [1]}),
    ])
    has = lambda vector: models.Filter(must=[models.HasVectorCondition(has_vector=vector)])
    t.client.batch_update_points(name, [
        models.DeleteVectorsOperation(delete_vectors=models.DeleteVectors(points=[2], vector=["a"])),
        models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(
            points=[models.PointVectors(id=3, vector={"a": [2]})])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"a": True}, filter=has("a"))),
        models.DeleteOperation(delete=models.FilterSelector(
            filter=models.Filter(must_not=[models.HasVectorCondition(has_vector="a")]))),
    ])
    records, _ = t.client.scroll(name)
    t.equal("who is left", {record.id: record.payload for record in records}, {1: {"a": True}, 3: {"a": True}})


def bad_filters(t: Checks) -> None:
    name = sample(t)

    def count(filter_: Any) -> Any:
        return t.http.post(f"/collections/{name}/points/count", json={"filter": filter_})

    t.raw_refused("unknown clause", count({"musst": []}), 400, "musst")
    t.raw_refused("unknown condition", count({"must": [{"what": 1}]}), 400)
    for what, condition, status, part in [
        ("no date", {"key": "a", "range": {"gt": "soon"}}, 400, "must[0].range.gt"),
        ("dates and numbers", {"key": "a", "range": {"gt": "2020-01-01", "lt": 1}}, 400, "range.lt"),
        ("no latitude", {"key": "a", "geo_radius": {"center": {"lon": 0, "lat": 91}, "radius": 1}},
         400, "geo_radius.center"),
        ("a radius below 0", {"key": "a", "geo_radius": {"center": {"lon": 0, "lat": 1}, "radius": -1}},
         422, "geo_radius.radius"),
        ("no ring", {"key": "a", "geo_polygon": {"exterior": {"points": []}}}, 400, "geo_polygon.exterior"),
        ("no slices", {"slice": {"total": 0, "index": 0}}, 422, "slice.total"),
        ("no such slice", {"slice": {"total": 2, "index": 2}}, 422, "slice.index"),
        ("a count below 0", {"key": "a", "values_count": {"gt": -1}}, 400, "values_count.gt"),
        ("no nested filter", {"nested": {"key": "a"}}, 400, "filter"),
    ]:
        t.raw_refused(what, count({"must": [condition]}), status, part)
    t.raw_refused("match of an object", count({"must": [{"key": "a", "match": {}}]}), 400)
    deep: Any = {"must": [{"key": "a", "match": {"value": 1}}]}
    for _ in range(100):
        deep = {"must": [deep]}
    t.raw_refused("100 levels", count(deep), 400)
    text = '{"filter":' + '{"must":[' * 10_000 + "{}" + "]}" * 10_000 + "}"
    answer = t.http.post(f"/collections/{name}/points/count", content=text,
                         headers={"content-type": "application/json"})
    t.raw_refused("10,000 levels", answer, 400)
    t.equal("the server lives", t.client.count(name).count, 6)


def scroll_pages(t: Checks) -> None:
    client, name = t.client, t.fresh()
    uuids = [f"00000000-0000-0000-0000-{n:012x}" for n in range(1, 4)]
    client.upsert(name, [
        models.PointStruct(id=id_, vector=[1.0] * 4, payload={"i": str(id_)})
        for id_ in [*reversed(range(25)), *uuids]
    ])
    seen, offset, pages = [], None, 0
    while True:
        page, offset = client.scroll(name, limit=7, offset=offset, with_payload=False)
        seen += t.ids(page)
        pages += 1
        if offset is None:
            break
    t.equal("numbers first, then UUIDs", seen, [*range(25), *uuids])
    t.equal("pages", pages, 4)
    default, rest = client.scroll(name)
    t.equal("ten by default", t.ids(default), list(range(10)))
    t.equal("the next page starts at", rest, 10)
    t.equal("with payload by default", default[0].payload, {"i": "0"})
    t.equal("without vectors by default", default[0].vector, None)
    tail, rest = client.scroll(name, offset=uuids[1], limit=10, with_vectors=True)
    t.equal("from a UUID", t.ids(tail), uuids[1:])
    t.equal("no more pages", rest, None)
    t.equal("vectors when asked for", tail[0].vector, [1.0] * 4)


def counts(t: Checks) -> None:
    name = sample(t)
    t.equal("all", t.client.count(name).count, 6)
    t.equal("not exact", t.client.count(name, exact=False).count, 6)
    t.refused("absent collection", lambda: t.client.count("absent"),
              404, "Not found: Collection `absent` doesn't exist!")


def query_by_vector(t: Checks) -> None:
    client, name = t.client, sample(t)
    hits = client.query_points(name, query=[2.2, 0.0], limit=3, with_vectors=True).points
    t.equal("nearest first", t.ids(hits), [2, 3, 1])
    t.close("scores are distances", [h.score for h in hits], [0.2, 0.8, 1.2], 1e-5)
    t.equal("payload by default of the client", hits[0].payload, POINTS[1])
    t.equal("vector", hits[0].vector, [2.0, 0.0])
    t.true("version", isinstance(hits[0].version, int))
    bare = t.result("bare", t.http.post(f"/collections/{name}/points/query",
                                        json={"query": [2.2, 0.0]}))
    t.equal("ten by default", len(bare["points"]), 6)
    t.equal("no payload by default", bare["points"][0].get("payload"), None)
    t.equal("offset", t.ids(client.query_points(
        name, query=[2.2, 0.0], limit=2, offset=1).points), [3, 1])
    t.equal("score_threshold", t.ids(client.query_points(
        name, query=[2.2, 0.0], score_threshold=1.0).points), [2, 3])
    t.equal("exact", t.ids(client.query_points(
        name, query=[2.2, 0.0], limit=1, search_params=models.SearchParams(exact=True)).points),
        [2])
    t.equal("hnsw_ef", t.ids(client.query_points(
        name, query=[2.2, 0.0], limit=1, search_params=models.SearchParams(hnsw_ef=32)).points),
        [2])
    t.equal("nearest object", t.ids(client.query_points(
        name, query=models.NearestQuery(nearest=[6.0, 0.0]), limit=1).points), [6])


def metrics(t: Checks) -> None:
    """Scores and order of every metric, for the query (1, 2)."""
    distance, root = models.Distance, math.sqrt
    for metric, vectors, scores, order in [
        (distance.DOT, [[0, 1], [3, 4], [1, -3]], [11, 2, -5], [2, 1, 3]),
        (distance.COSINE, [[0, 2], [3, 4], [-1, -6]],
         [11 / root(125), 2 / root(5), -13 / root(185)], [2, 1, 3]),
        (distance.EUCLID, [[0, 2], [3, 4], [-1, -6]], [1, root(8), root(68)], [1, 2, 3]),
        (distance.MANHATTAN, [[0, 2], [3, 4], [-1, -6]], [1, 4, 10], [1, 2, 3]),
    ]:
        name = t.fresh(vectors_config=models.VectorParams(size=2, distance=metric))
        t.client.upsert(name, [
            models.PointStruct(id=n, vector=[float(x), float(y)])
            for n, (x, y) in enumerate(vectors, start=1)
        ])
        hits = t.client.query_points(name, query=[1.0, 2.0]).points
        t.equal(f"{metric}: order", t.ids(hits), order)
        t.close(f"{metric}: scores", [hit.score for hit in hits], scores, 1e-5)
        worst = scores[1]
        near = t.client.query_points(name, query=[1.0, 2.0], score_threshold=worst * 0.9
                                     if scores[0] > scores[1] else worst * 1.1).points
        t.equal(f"{metric}: score_threshold", t.ids(near), order[:2])


def query_by_id_and_without(t: Checks) -> None:
    client, name = t.client, sample(t)
    hits = client.query_points(name, query=3, limit=2).points
    t.equal("by id leaves the id out", sorted(t.ids(hits)), [2, 4])
    t.refused("by an absent id", lambda: client.query_points(name, query=77),
              404, "Not found: No point with id 77 found")
    listed = client.query_points(name, limit=3).points
    t.equal("no query: by id", t.ids(listed), [1, 2, 3])
    t.equal("no query: score", [hit.score for hit in listed], [1.0, 1.0, 1.0])
    t.equal("no query: offset", t.ids(client.query_points(name, offset=4).points), [5, 6])
    client.delete_vectors(name, [""], [3])
    t.refused("by an id without the vector", lambda: client.query_points(name, query=3), 404)


def batches(t: Checks) -> None:
    client, name = t.client, sample(t)
    request = models.QueryRequest
    answers = client.query_batch_points(name, [
        request(query=[1.0, 0.0], limit=1), request(query=[5.0, 0.0], limit=1),
        request(query=2, limit=1, filter=models.Filter(must=[field("n", match=value(5))]),
                with_payload=True),
        request(limit=2),
    ])
    t.equal("answers in order", [t.ids(a.points) for a in answers], [[1], [5], [5], [1, 2]])
    t.equal("payload", answers[2].points[0].payload, POINTS[4])


def legacy_search(t: Checks) -> None:
    name = sample(t)
    url = f"/collections/{name}/points/search"
    found = t.result("search", t.http.post(url, json={
        "vector": [2.2, 0.0], "limit": 2, "with_payload": True,
        "filter": {"must": [{"key": "n", "range": {"lte": 3}}]},
    }))
    t.equal("a bare array", [hit["id"] for hit in found], [2, 3])
    t.equal("payload", found[0]["payload"], POINTS[1])
    named = t.result("named", t.http.post(url, json={
        "vector": {"name": "", "vector": [6, 0]}, "limit": 1
    }))
    t.equal("named vector", [hit["id"] for hit in named], [6])
    batch = t.result("batch", t.http.post(f"{url}/batch", json={"searches": [
        {"vector": [1, 0], "limit": 1}, {"vector": [4, 0], "limit": 2}
    ]}))
    t.equal("batch", [[hit["id"] for hit in hits][:1] for hits in batch], [[1], [4]])
    t.raw_refused("without limit", t.http.post(url, json={"vector": [1, 0]}), 400, "limit")


def bad_queries(t: Checks) -> None:
    client, name = t.client, sample(t)
    t.refused("dimension", lambda: client.query_points(name, query=[1.0]),
              400, "Wrong input: Vector dimension error: expected dim: 2, got 1")
    t.refused("vector name", lambda: client.query_points(name, query=[1.0, 2.0], using="nope"),
              400, "Wrong input: Not existing vector name error: nope")
    t.refused("limit 0", lambda: client.query_points(name, query=[1.0, 2.0], limit=0),
              422, "limit: value 0 invalid, must be 1 or larger")
    t.refused("collection", lambda: client.query_points("absent", query=[1.0, 2.0]),
              404, "Not found: Collection `absent` doesn't exist!")
    url = f"/collections/{name}/points/query"
    headers = {"content-type": "application/json"}
    for what, body, status, text in [
        ("malformed", '{"query": [1,', 400, "column"),
        ("a string for a number", '{"limit": "ten"}', 400, "line 1 column"),
        ("NaN", '{"query": [NaN, 1]}', 400, "column"),
        ("empty vector", '{"query": []}', 422, ""),
        ("infinity", '{"query": [1e999, 1]}', 400, ""),
        ("limit 2^64", '{"query": [1, 1], "limit": 18446744073709551616}', 400, "limit"),
        ("negative limit", '{"query": [1, 1], "limit": -1}', 400, "-1"),
    ]:
        answer = t.http.post(url, content=body, headers=headers)
        allowed = (400, 422) if text == "" else (status,)
        t.true(f"{what}: {answer.status_code} {answer.text}", answer.status_code in allowed)
        t.raw_refused(what, answer, answer.status_code, text)
    large = t.http.post(url, content='{"query": [1, 1], "limit": 9223372036854775808}',
                        headers=headers)
    t.true(f"limit 2^63: {large.status_code}", large.status_code in (200, 400, 422))


CASES = [
    dates_and_places, writes_by_vector,
    filters, bad_filters, scroll_pages, counts, query_by_vector, metrics,
    query_by_id_and_without, batches, legacy_search, bad_queries,
]
