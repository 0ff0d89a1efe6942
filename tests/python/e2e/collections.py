"""Collections: create, list, exists, info, update, delete, payload indexes, optimizations."""

from __future__ import annotations

from qdrant_client import models

from e2e.checks import Checks


def life_of_a_collection(t: Checks) -> None:
    client, name = t.client, t.name()
    flat = models.VectorParams(size=4, distance=models.Distance.COSINE)
    t.equal("exists before", client.collection_exists(name), False)
    t.equal("create", client.create_collection(name, flat, timeout=10), True)
    t.equal("exists after", client.collection_exists(name), True)
    listed = [found.name for found in client.get_collections().collections]
    t.true("is listed", name in listed)
    t.refused(
        "create again", lambda: client.create_collection(name, flat),
        409, f"Wrong input: Collection `{name}` already exists!",
    )
    t.equal("delete", client.delete_collection(name), True)
    t.equal("delete again", client.delete_collection(name), False)
    t.refused(
        "info of a deleted one", lambda: client.get_collection(name),
        404, f"Not found: Collection `{name}` doesn't exist!",
    )
    t.equal("recreate", client.recreate_collection(name, flat), True)
    client.upsert(name, [models.PointStruct(id=1, vector=[1.0] * 4)])
    t.equal("recreate with points", client.recreate_collection(name, flat), True)
    t.equal("recreated empty", client.count(name).count, 0)


def info_of_a_plain_collection(t: Checks) -> None:
    name = t.fresh()
    info = t.client.get_collection(name)
    t.equal("status", info.status, models.CollectionStatus.GREEN)
    t.equal("optimizer_status", info.optimizer_status, models.OptimizersStatusOneOf.OK)
    t.equal("points", info.points_count, 0)
    t.equal("indexed", info.indexed_vectors_count, 0)
    t.equal("schema", info.payload_schema, {})
    params = info.config.params
    t.equal("size", params.vectors.size, 4)
    t.equal("distance", params.vectors.distance, models.Distance.DOT)
    t.equal("hnsw m", info.config.hnsw_config.m, 16)
    t.equal("hnsw ef_construct", info.config.hnsw_config.ef_construct, 100)
    t.equal("full_scan_threshold", info.config.hnsw_config.full_scan_threshold, 10_000)
    t.equal("deleted_threshold", info.config.optimizer_config.deleted_threshold, 0.2)
    client = t.client
    client.upsert(name, [models.PointStruct(id=n, vector=[1.0] * 4) for n in range(5)])
    client.delete(name, [0, 3])
    t.equal("points, exactly", client.get_collection(name).points_count, 3)


def info_gives_back_what_was_set(t: Checks) -> None:
    name = t.fresh(
        vectors_config={
            "text": models.VectorParams(
                size=8,
                distance=models.Distance.EUCLID,
                datatype=models.Datatype.FLOAT16,
                on_disk=True,
                hnsw_config=models.HnswConfigDiff(m=24),
            ),
            "image": models.VectorParams(
                size=3, distance=models.Distance.MANHATTAN, datatype=models.Datatype.UINT8
            ),
        },
        hnsw_config=models.HnswConfigDiff(m=8, ef_construct=50, full_scan_threshold=100),
        optimizers_config=models.OptimizersConfigDiff(
            deleted_threshold=0.4, vacuum_min_vector_number=500, indexing_threshold=77,
            default_segment_number=3, flush_interval_sec=7,
        ),
        wal_config=models.WalConfigDiff(wal_capacity_mb=16),
        quantization_config=models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99)
        ),
        on_disk_payload=False,
        shard_number=1,
        replication_factor=1,
        metadata={"owner": "me", "nested": {"n": 1}},
    )
    info = t.client.get_collection(name)
    config = info.config
    text, image = config.params.vectors["text"], config.params.vectors["image"]
    t.equal("text", (text.size, text.distance), (8, models.Distance.EUCLID))
    t.equal("text datatype", text.datatype, models.Datatype.FLOAT16)
    t.equal("text on_disk", text.on_disk, True)
    t.equal("text m", text.hnsw_config.m, 24)
    t.equal("image datatype", image.datatype, models.Datatype.UINT8)
    t.equal("m", (config.hnsw_config.m, config.hnsw_config.ef_construct), (8, 50))
    optimizer = config.optimizer_config
    t.equal("deleted_threshold", optimizer.deleted_threshold, 0.4)
    t.equal("vacuum", optimizer.vacuum_min_vector_number, 500)
    t.equal("indexing_threshold", optimizer.indexing_threshold, 77)
    t.equal("segments", optimizer.default_segment_number, 3)
    t.equal("flush", optimizer.flush_interval_sec, 7)
    t.equal("wal", config.wal_config.wal_capacity_mb, 16)
    t.equal("quantile", config.quantization_config.scalar.quantile, 0.99)
    t.equal("on_disk_payload", config.params.on_disk_payload, False)
    t.equal("metadata", config.metadata, {"owner": "me", "nested": {"n": 1}})
    warnings = " ".join(warning.message for warning in info.warnings or [])
    t.true(f"warns of what has no effect: {warnings!r}", "wal_config" in warnings)
    t.true(f"and of nothing that has: {warnings!r}", "quantization_config" not in warnings)
    t.true(f"and of bytes with codes: {warnings!r}", "of uint8: its quantization" in warnings)


def update_of_a_collection(t: Checks) -> None:
    client, name = t.client, t.fresh(metadata={"a": 1, "b": 2})
    t.equal(
        "update",
        client.update_collection(
            name,
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=123),
            hnsw_config=models.HnswConfigDiff(ef_construct=64),
            vectors_config={"": models.VectorParamsDiff(
                hnsw_config=models.HnswConfigDiff(m=12), on_disk=True
            )},
            quantization_config=models.ScalarQuantization(
                scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
            ),
            collection_params=models.CollectionParamsDiff(on_disk_payload=False),
            metadata={"b": None, "c": 3},
        ),
        True,
    )
    config = client.get_collection(name).config
    t.equal("indexing_threshold", config.optimizer_config.indexing_threshold, 123)
    t.equal("other settings stay", config.optimizer_config.deleted_threshold, 0.2)
    t.equal("ef_construct", config.hnsw_config.ef_construct, 64)
    t.equal("m stays", config.hnsw_config.m, 16)
    t.equal("vector m", config.params.vectors.hnsw_config.m, 12)
    t.equal("vector on_disk", config.params.vectors.on_disk, True)
    t.true("quantization", config.quantization_config is not None)
    t.equal("metadata is merged", config.metadata, {"a": 1, "c": 3})
    t.equal(
        "remove quantization",
        client.update_collection(name, quantization_config=models.Disabled.DISABLED), True,
    )
    removed = client.get_collection(name).config.quantization_config
    t.equal("quantization is gone", removed, None)
    t.refused(
        "a vector that is not there",
        lambda: client.update_collection(name, vectors_config={
            "nope": models.VectorParamsDiff(on_disk=True)
        }),
        400, "nope",
    )
    t.refused(
        "a collection that is not there",
        lambda: client.update_collection(
            "absent", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1)
        ),
        404, "Collection `absent` doesn't exist!",
    )


def settings_that_cannot_be(t: Checks) -> None:
    create = t.client.create_collection
    dot = models.Distance.DOT
    t.refused(
        "size 0", lambda: create(t.name(), models.VectorParams(size=0, distance=dot)),
        422, "Validation error in JSON body", "vectors.size: value 0 invalid",
    )
    t.refused(
        "size 65537", lambda: create(t.name(), models.VectorParams(size=65537, distance=dot)),
        422, "vectors.size: value 65537 invalid, must be from 1 to 65536",
    )
    flat = models.VectorParams(size=4, distance=dot)
    t.refused(
        "ef_construct 3",
        lambda: create(t.name(), flat, hnsw_config=models.HnswConfigDiff(ef_construct=3)),
        422, "hnsw_config.ef_construct: value 3 invalid, must be 4 or larger",
    )
    answer = t.http.put("/collections/bad-metric", json={
        "vectors": {"size": 4, "distance": "Hamming"}
    })
    t.raw_refused("unknown metric", answer, 400, "Hamming")
    answer = t.http.put("/collections/a:b", json={"vectors": {"size": 4, "distance": "Dot"}})
    t.true(f"name with a colon: {answer.status_code}", answer.status_code in (400, 422))
    answer = t.http.put("/collections/" + "n" * 256, json={
        "vectors": {"size": 4, "distance": "Dot"}
    })
    t.true(f"name of 256 characters: {answer.status_code}", answer.status_code in (400, 422))


def collection_without_vectors(t: Checks) -> None:
    client, name = t.client, t.fresh(vectors_config={})
    t.completed("upsert", client.upsert(name, [
        models.PointStruct(id=1, vector={}, payload={"a": 1})
    ]))
    t.equal("payload", t.payload(name, 1), {"a": 1})
    found = client.count(name, models.Filter(must=[
        models.FieldCondition(key="a", match=models.MatchValue(value=1))
    ]))
    t.equal("count", found.count, 1)


def payload_indexes(t: Checks) -> None:
    client, name = t.client, t.fresh()
    client.upsert(name, [
        models.PointStruct(id=n, vector=[1.0] * 4, payload={"k": "x", "n": n}) for n in range(10)
    ])
    kinds = models.PayloadSchemaType
    for field, schema in [
        ("k", kinds.KEYWORD), ("n", kinds.INTEGER), ("f", kinds.FLOAT), ("b", kinds.BOOL),
    ]:
        t.completed(f"create {field}", client.create_payload_index(name, field, schema))
    t.completed("create with parameters", client.create_payload_index(
        name, "deep.path[]", models.KeywordIndexParams(
            type=models.KeywordIndexType.KEYWORD, is_tenant=True
        ),
    ))
    t.completed("create integer with parameters", client.create_payload_index(
        name, "m", models.IntegerIndexParams(
            type=models.IntegerIndexType.INTEGER, lookup=True, range=False
        ),
    ))
    schema = client.get_collection(name).payload_schema
    t.equal("fields", sorted(schema), ["b", "deep.path[]", "f", "k", "m", "n"])
    t.equal("type", schema["n"].data_type, kinds.INTEGER)
    t.equal("points", schema["n"].points, 10)
    t.equal("no points", schema["f"].points, 0)
    t.equal("parameters are kept", schema["deep.path[]"].params.is_tenant, True)
    found = client.count(name, models.Filter(must=[
        models.FieldCondition(key="n", range=models.Range(gte=3, lt=6))
    ]))
    t.equal("range by index", found.count, 3)
    t.completed("drop", client.delete_payload_index(name, "n"))
    t.equal("n is gone", "n" in client.get_collection(name).payload_schema, False)
    t.completed("drop again", client.delete_payload_index(name, "n"))
    t.completed("create with wait=false then true", client.create_payload_index(
        name, "n", kinds.INTEGER, wait=True
    ))
    later = client.create_payload_index(name, "late", kinds.KEYWORD, wait=False)
    t.true("acknowledged", later.status in (
        models.UpdateStatus.ACKNOWLEDGED, models.UpdateStatus.COMPLETED
    ))


def optimizations(t: Checks) -> None:
    """What runs and why is told, and a collection turns green with a graph."""
    client = t.client
    name = t.fresh(
        vectors_config=models.VectorParams(size=16, distance=models.Distance.EUCLID),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10),
    )
    points = [
        models.PointStruct(id=n, vector=[float((n * 7 + d * d) % 101) for d in range(16)])
        for n in range(2_000)
    ]
    client.upload_points(name, points, batch_size=500, wait=True)
    answer = t.http.post(f"/collections/{name}/optimizations/run")
    t.equal("run now", answer.status_code, 200)
    t.eventually("green with a graph", lambda: (
        (info := client.get_collection(name)).status == models.CollectionStatus.GREEN
        and info.indexed_vectors_count == 2_000
    ), 60)
    # This client asks for no more than what runs; the rest is told to those who ask.
    t.equal("nothing runs", client.get_optimizations(name).running, [])
    told = t.http.get(f"/collections/{name}/optimizations?with=queued,completed").json()["result"]
    t.true("something was completed", len(told["completed"]) > 0)
    t.true("with its reason", all(job["cairn"]["why"] for job in told["completed"]))
    t.equal("all points", client.count(name).count, 2_000)


CASES = [
    life_of_a_collection, info_of_a_plain_collection, info_gives_back_what_was_set,
    update_of_a_collection, settings_that_cannot_be, collection_without_vectors,
    payload_indexes, optimizations,
]
