"""Points: both upsert forms, ids, vectors of all kinds, update modes, retrieve, delete, upload."""

from __future__ import annotations

import uuid

import numpy as np
from qdrant_client import QdrantClient, models

from e2e.checks import Checks

UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


def point(id_: int | str, vector: object = None, **payload: object) -> models.PointStruct:
    return models.PointStruct(id=id_, vector=vector or [1.0, 2.0, 3.0, 4.0], payload=payload)


def upsert_as_a_list(t: Checks) -> None:
    client, name = t.client, t.fresh()
    t.completed("upsert", client.upsert(name, [
        point(1, a="x"), point(2**64 - 1), point(UUID, [0.5] * 4, b=[1, None, {"c": 2.5}]),
    ]))
    t.equal("count", client.count(name).count, 3)
    found = client.retrieve(name, [UUID, 2**64 - 1, 1, 99], with_vectors=True)
    by_id = {record.id: record for record in found}
    t.equal("absent ids are silently absent", sorted(map(str, by_id)),
            sorted(["1", str(2**64 - 1), UUID]))
    t.equal("payload", by_id[UUID].payload, {"b": [1, None, {"c": 2.5}]})
    t.equal("vector", by_id[UUID].vector, [0.5] * 4)
    t.equal("payload of 1", by_id[1].payload, {"a": "x"})
    t.completed("again", client.upsert(name, [point(1, [4.0, 3.0, 2.0, 1.0], z=1)]))
    t.equal("replaced payload", t.payload(name, 1), {"z": 1})
    t.equal("replaced vector", t.vector(name, 1), [4.0, 3.0, 2.0, 1.0])
    t.equal("count is the same", client.count(name).count, 3)


def upsert_as_a_batch(t: Checks) -> None:
    client, name = t.client, t.fresh()
    batch = models.Batch(
        ids=[1, 2, UUID], vectors=[[1.0] * 4, [2.0] * 4, [3.0] * 4],
        payloads=[{"n": 1}, {}, {"n": 3}],
    )
    t.completed("upsert", client.upsert(name, batch))
    t.equal("payload", t.payload(name, 1), {"n": 1})
    t.equal("vector", t.vector(name, UUID), [3.0] * 4)
    answer = t.http.put(f"/collections/{name}/points?wait=true", json={
        "batch": {"ids": [7, 8], "vectors": [[1, 1, 1, 1], [2, 2, 2, 2]],
                  "payloads": [None, {"n": 8}]}
    })
    t.result("payloads with null", answer)
    t.equal("null payload", t.payload(name, 7), {})
    t.equal("the other", t.payload(name, 8), {"n": 8})
    answer = t.http.put(f"/collections/{name}/points?wait=true", json={
        "batch": {"ids": [9], "vectors": [[1, 1, 1, 1], [2, 2, 2, 2]]}
    })
    t.true(f"lengths differ: {answer.status_code}", answer.status_code in (400, 422))
    t.equal("nothing was written", client.retrieve(name, [9]), [])


def forms_of_ids(t: Checks) -> None:
    client, name = t.client, t.fresh()
    simple = UUID.replace("-", "")
    client.upsert(name, [point(simple, a=1)])
    t.equal("printed with hyphens", t.ids(client.scroll(name)[0]), [UUID])
    for form in [UUID, UUID.upper(), simple, f"urn:uuid:{UUID}", "{%s}" % UUID]:
        answer = t.http.post(f"/collections/{name}/points", json={"ids": [form]})
        t.equal(f"found as {form}", len(t.result("retrieve", answer)), 1)
    client.upsert(name, [models.PointStruct(id=uuid.UUID(int=5), vector=[1.0] * 4)])
    t.equal("as an object", len(client.retrieve(name, [str(uuid.UUID(int=5))])), 1)
    t.refused(
        "a word", lambda: client.upsert(name, [point("word")]),
        400, "value word is not a valid point ID",
        "valid values are either an unsigned integer or a UUID",
    )
    answer = t.http.put(f"/collections/{name}/points", json={
        "points": [{"id": -1, "vector": [1, 2, 3, 4]}]
    })
    t.raw_refused("a negative number", answer, 400, "is not a valid point ID")


def one_point(t: Checks) -> None:
    client, name = t.client, t.fresh()
    client.upsert(name, [point(5, a=1), point(UUID, b=2)])
    record = t.result("get", t.http.get(f"/collections/{name}/points/5"))
    t.equal("id", record["id"], 5)
    t.equal("payload", record["payload"], {"a": 1})
    t.equal("vector", record["vector"], [1.0, 2.0, 3.0, 4.0])
    t.result("get by UUID", t.http.get(f"/collections/{name}/points/{UUID}"))
    t.raw_refused(
        "absent", t.http.get(f"/collections/{name}/points/6"),
        404, "Not found: Point with id 6 does not exists!",
    )


def named_vectors(t: Checks) -> None:
    client = t.client
    name = t.fresh(vectors_config={
        "a": models.VectorParams(size=2, distance=models.Distance.DOT),
        "b": models.VectorParams(size=3, distance=models.Distance.EUCLID),
    })
    client.upsert(name, [
        point(1, {"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]}), point(2, {"a": [3.0, 4.0]}),
        models.PointStruct(id=3, vector={}, payload={"only": "payload"}),
    ])
    t.equal("both", t.vector(name, 1), {"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]})
    t.equal("one", t.vector(name, 2), {"a": [3.0, 4.0]})
    t.equal("none", t.vector(name, 3) or {}, {})
    one = client.retrieve(name, [1], with_vectors=["b"])[0]
    t.equal("by name", one.vector, {"b": [1.0, 2.0, 3.0]})
    hits = client.query_points(name, query=[1.0, 0.0, 0.0], using="b").points
    t.equal("only points that have it", t.ids(hits), [1])
    t.completed("batch form", client.upsert(name, models.Batch(
        ids=[10, 11], vectors={"a": [[1.0, 1.0], [2.0, 2.0]], "b": [[1.0] * 3, [2.0] * 3]},
    )))
    t.equal("batch", t.vector(name, 11), {"a": [2.0, 2.0], "b": [2.0] * 3})
    t.completed("update", client.update_vectors(name, [
        models.PointVectors(id=2, vector={"b": [9.0, 9.0, 9.0]}),
        models.PointVectors(id=1, vector={"a": [7.0, 7.0]}),
    ]))
    t.equal("added", t.vector(name, 2), {"a": [3.0, 4.0], "b": [9.0] * 3})
    t.equal("other one stays", t.vector(name, 1), {"a": [7.0, 7.0], "b": [1.0, 2.0, 3.0]})
    t.completed("delete vectors", client.delete_vectors(name, ["a"], [1, 2]))
    t.equal("deleted", t.vector(name, 1), {"b": [1.0, 2.0, 3.0]})
    t.completed("delete by filter", client.delete_vectors(
        name, ["b"], models.Filter(must=[models.HasIdCondition(has_id=[1])])
    ))
    t.equal("all deleted", t.vector(name, 1) or {}, {})
    t.refused(
        "unknown name", lambda: client.upsert(name, [point(1, {"nope": [1.0]})]),
        400, "Wrong input: Not existing vector name error: nope",
    )
    t.refused(
        "update of an absent point",
        lambda: client.update_vectors(name, [models.PointVectors(id=77, vector={"a": [1., 1.]})]),
        404, "No point with id 77 found",
    )
    t.refused("update with nothing",
              lambda: client.update_vectors(name, [models.PointVectors(id=1, vector={})]),
              422, "must specify vectors to update for point")


def default_vector_has_an_empty_name(t: Checks) -> None:
    """As LangChain creates it."""
    name = t.fresh(vectors_config={
        "": models.VectorParams(size=4, distance=models.Distance.COSINE)
    })
    t.client.upsert(name, [point(1, {"": [0.0, 0.0, 3.0, 4.0]})])
    t.close("plain list", t.vector(name, 1), [0.0, 0.0, 0.6, 0.8], 1e-6)
    hits = t.client.query_points(name, query=[0.0, 0.0, 3.0, 4.0], using="").points
    t.close("score", [hits[0].score], [1.0], 1e-6)


def element_types(t: Checks) -> None:
    client = t.client
    bytes_ = [0.0, 1.0, 127.0, 255.0]
    name = t.fresh(vectors_config={
        "half": models.VectorParams(
            size=4, distance=models.Distance.DOT, datatype=models.Datatype.FLOAT16),
        "byte": models.VectorParams(
            size=4, distance=models.Distance.EUCLID, datatype=models.Datatype.UINT8),
        "unit": models.VectorParams(size=4, distance=models.Distance.COSINE),
    })
    half = [0.1, -2.5, 1000.25, 0.333]
    client.upsert(name, [point(1, {"half": half, "byte": bytes_, "unit": [3.0, 0.0, 4.0, 0.0]})])
    vectors = t.vector(name, 1)
    want = np.asarray(half, dtype=np.float16).astype(float).tolist()
    t.close("half precision", vectors["half"], want, 1e-7)
    t.equal("bytes", vectors["byte"], bytes_)
    t.close("unit length", vectors["unit"], [0.6, 0.0, 0.8, 0.0], 1e-6)
    hits = client.query_points(name, query=[0.0, 1.0, 127.0, 250.0], using="byte").points
    t.close("distance of bytes", [hits[0].score], [5.0], 1e-6)
    for value in [256.0, -1.0, 0.5]:
        answer = t.http.put(f"/collections/{name}/points?wait=true", json={
            "points": [{"id": 2, "vector": {"byte": [value, 0, 0, 0]}}]
        })
        if value == 0.5 and answer.status_code == 200:
            continue  # Qdrant truncates; refusing is allowed, storing 0 is too
        t.true(f"byte {value}: {answer.status_code}", answer.status_code in (400, 422))
    zero = client.upsert(name, [point(3, {"unit": [0.0] * 4})])
    t.completed("zero vector with cosine", zero)
    t.equal("zero vector stays", t.vector(name, 3)["unit"], [0.0] * 4)


def update_filter(t: Checks) -> None:
    """Existing points change only if they match; new ones are inserted."""
    client, name = t.client, t.fresh()
    client.upsert(name, [point(1, v=1), point(2, v=2)])
    older = models.Filter(must=[models.FieldCondition(key="v", range=models.Range(lt=2))])
    t.completed("upsert", client.upsert(
        name, [point(1, v=10), point(2, v=20), point(3, v=30)], update_filter=older
    ))
    t.equal("matched", t.payload(name, 1), {"v": 10})
    t.equal("did not match", t.payload(name, 2), {"v": 2})
    t.equal("new", t.payload(name, 3), {"v": 30})
    client.update_vectors(
        name, [models.PointVectors(id=n, vector=[9.0] * 4) for n in (1, 2)],
        update_filter=models.Filter(must=[
            models.FieldCondition(key="v", match=models.MatchValue(value=2))
        ]),
    )
    t.equal("vector of the matching one", t.vector(name, 2), [9.0] * 4)
    t.equal("vector of the other one", t.vector(name, 1), [1.0, 2.0, 3.0, 4.0])


def update_modes(t: Checks) -> None:
    client, name = t.client, t.fresh()
    client.upsert(name, [point(1, v=1)])
    for mode, one, two in [
        (models.UpdateMode.INSERT_ONLY, {"v": 1}, {"v": "insert_only"}),
        (models.UpdateMode.UPDATE_ONLY, {"v": "update_only"}, {"v": "update_only"}),
        (models.UpdateMode.UPSERT, {"v": "upsert"}, {"v": "upsert"}),
    ]:
        client.upsert(name, [point(1, v=mode.value), point(2, v=mode.value)], update_mode=mode)
        t.equal(f"{mode.value}: point 1", t.payload(name, 1), one)
        t.equal(f"{mode.value}: point 2", t.payload(name, 2), two)
    client.upsert(name, [point(3)], update_mode=models.UpdateMode.UPDATE_ONLY)
    t.equal("update_only makes nothing", client.retrieve(name, [3]), [])


def delete_points(t: Checks) -> None:
    client, name = t.client, t.fresh()
    client.upsert(name, [point(n, even=n % 2 == 0) for n in range(10)])
    t.completed("by ids", client.delete(name, [0, 1, 77]))
    t.completed("by list object", client.delete(name, models.PointIdsList(points=[2])))
    t.equal("count", client.count(name).count, 7)
    even = models.Filter(must=[models.FieldCondition(
        key="even", match=models.MatchValue(value=True)
    )])
    t.completed("by filter", client.delete(name, models.FilterSelector(filter=even)))
    t.equal("odd ones are left", t.ids(client.scroll(name)[0]), [3, 5, 7, 9])
    client.upsert(name, [point(1, back=True)])
    t.equal("an id comes back", t.payload(name, 1), {"back": True})
    hits = client.query_points(name, query=[1.0] * 4, limit=100).points
    t.equal("never found again", sorted(t.ids(hits)), [1, 3, 5, 7, 9])


def batch_of_operations(t: Checks) -> None:
    """All eight kinds as one unit, each seeing the ones before it."""
    client, name = t.client, t.fresh()
    client.upsert(name, [point(n, n=n) for n in range(1, 5)])
    ids = models.PointIdsList
    answers = client.batch_update_points(name, [
        models.UpsertOperation(upsert=models.PointsList(points=[point(9, a=1, b=2)])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"c": 3}, points=[9])),
        models.DeletePayloadOperation(
            delete_payload=models.DeletePayload(keys=["a"], points=[9])),
        models.OverwritePayloadOperation(
            overwrite_payload=models.SetPayload(payload={"over": 1}, points=[1])),
        models.ClearPayloadOperation(clear_payload=ids(points=[2])),
        models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(
            points=[models.PointVectors(id=3, vector=[8.0] * 4)])),
        models.DeleteVectorsOperation(
            delete_vectors=models.DeleteVectors(points=[1], vector=[""])),
        models.DeleteOperation(delete=ids(points=[4])),
        models.UpsertOperation(upsert=models.PointsBatch(batch=models.Batch(
            ids=[10], vectors=[[1.0] * 4], payloads=[{"x": 1}]))),
    ])
    t.equal("an answer each", len(answers), 9)
    for answer in answers:
        t.completed("answer", answer)
    t.equal("9", t.payload(name, 9), {"b": 2, "c": 3})
    t.equal("1", t.payload(name, 1), {"over": 1})
    t.equal("1 has no vector", t.vector(name, 1) or {}, {})
    t.equal("2", t.payload(name, 2), {})
    t.equal("3", t.vector(name, 3), [8.0] * 4)
    t.equal("ids", t.ids(client.scroll(name)[0]), [1, 2, 3, 9, 10])
    t.refused("one bad operation", lambda: client.batch_update_points(name, [
        models.DeleteOperation(delete=ids(points=[1])),
        models.UpsertOperation(upsert=models.PointsList(points=[point(11, [1.0])])),
    ]), 400, "Vector dimension error: expected dim: 4, got 1")
    t.equal("nothing of it was done", len(client.retrieve(name, [1, 11])), 1)


def waiting_and_ordering(t: Checks) -> None:
    client, name = t.client, t.fresh()
    later = client.upsert(name, [point(1)], wait=False)
    t.equal("wait=false", later.status, models.UpdateStatus.ACKNOWLEDGED)
    now = client.upsert(
        name, [point(2)], wait=True, ordering=models.WriteOrdering.STRONG, timeout=5
    )
    t.completed("wait=true", now)
    t.true("operation ids grow", (now.operation_id or 0) > (later.operation_id or 0))
    t.equal("both are visible", client.count(name).count, 2)
    found = client.retrieve(name, [1], consistency="majority", timeout=5)
    t.equal("consistency is accepted", len(found), 1)
    none = t.result("default", t.http.put(f"/collections/{name}/points", json={
        "points": [{"id": 3, "vector": [1, 2, 3, 4]}]
    }))
    t.equal("wait is false by default", none["status"], "acknowledged")


def uploads(t: Checks) -> None:
    client, name = t.client, t.fresh()
    vectors = np.arange(1_000 * 4, dtype=np.float32).reshape(1_000, 4)
    client.upload_collection(
        name, vectors, payload=[{"n": n} for n in range(1_000)], batch_size=128, wait=True
    )
    t.equal("upload_collection", client.count(name).count, 1_000)
    client.upload_collection(name, vectors[:100], ids=range(100), batch_size=30)
    client.upload_points(
        name, (point(n, [float(n)] * 4, n=n) for n in range(50, 250)), batch_size=64
    )
    t.eventually("all of them", lambda: client.count(name).count == 1_250)
    t.equal("the later one stands", t.vector(name, 60), [60.0] * 4)
    client.upload_points(
        name, [point(n, [0.5] * 4) for n in range(300, 500)], batch_size=32, parallel=2, wait=True
    )
    t.equal("in parallel", client.count(name).count, 1_450)


def migration_from_memory(t: Checks) -> None:
    """The client copies whole collections through the public API."""
    memory = QdrantClient(":memory:")
    name = t.name()
    memory.create_collection(name, models.VectorParams(size=4, distance=models.Distance.EUCLID))
    memory.upsert(name, [point(n, [float(n)] * 4, n=n) for n in range(300)])
    memory.migrate(t.client, collection_names=[name], batch_size=100)
    want, _ = memory.scroll(name, limit=1_000, with_vectors=True)
    t.eventually("all points", lambda: t.client.count(name).count == 300)
    got, _ = t.client.scroll(name, limit=1_000, with_vectors=True)
    t.equal("the same points", [r.model_dump() for r in got], [r.model_dump() for r in want])


CASES = [
    upsert_as_a_list, upsert_as_a_batch, forms_of_ids, one_point, named_vectors,
    default_vector_has_an_empty_name, element_types, update_filter, update_modes, delete_points,
    batch_of_operations, waiting_and_ordering, uploads, migration_from_memory,
]
