"""Random operations on a world: what is done, as values, so that both sides do the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qdrant_client import models

from worlds import DELETE_KEYS, SET_KEYS, World


@dataclass
class Write:
    """A call of a client method that changes points."""

    method: str
    arguments: dict[str, Any]
    # Ids that the call names; the check after it looks at these first.
    ids: list[int | str] = field(default_factory=list)


@dataclass
class Query:
    """A call of query_points."""

    query: Any
    using: str
    filter: models.Filter | None
    limit: int
    offset: int
    exact: bool
    with_payload: Any
    with_vectors: Any
    # Where in the true ranking the score threshold is put, 0 to 1; None for no threshold.
    threshold_at: float | None


def draw_ids(world: World, live: list[int | str], absent_chance: float) -> list[int | str]:
    """Ids of live points; now and then one that is not there."""
    rng = world.rng
    count = rng.choice([1, 1, 2, 5, 20])
    ids = rng.sample(live, min(count, len(live)))
    if rng.random() < absent_chance or not ids:
        ids.append(rng.choice(world.ids))
    return list(dict.fromkeys(ids))


def selection(world: World, live: list[int | str]) -> Any:
    """By ids or by filter."""
    if world.rng.random() < 0.6:
        return draw_ids(world, live, absent_chance=0.06)
    return world.filter()


def upsert(world: World, live: list[int | str]) -> Write:
    rng = world.rng
    count = rng.choice([1, 2, 5, 17, 64])
    ids = rng.sample(world.ids, min(count, len(world.ids)))
    arguments: dict[str, Any] = {}
    style = rng.random()
    if style < 0.15:
        arguments["update_filter"] = world.filter()
    elif style < 0.3:
        arguments["update_mode"] = rng.choice(list(models.UpdateMode))
        if rng.random() < 0.3:
            arguments["update_filter"] = world.filter()
    elif rng.random() < 0.2:
        ids += rng.sample(ids, min(2, len(ids)))  # the same id twice: the last one stands
    full = all(isinstance(id_, int) for id_ in ids) and rng.random() < 0.5
    if rng.random() < 0.35:
        arguments["points"] = batch_form(world, ids)
    else:
        arguments["points"] = [
            models.PointStruct(
                id=id_,
                vector=world.some_vectors() if full else world.vector(),
                payload=world.payload(),
            )
            for id_ in ids
        ]
    return Write("upsert", arguments, ids)


def batch_form(world: World, ids: list[int | str]) -> models.Batch:
    """The columnar form. Every point has every vector of the batch."""
    rng = world.rng
    if world.named:
        names = rng.sample(list(world.spaces), rng.randint(1, len(world.spaces)))
        vectors: Any = {name: [world.values(name) for _ in ids] for name in names}
    else:
        vectors = [world.values("") for _ in ids]
    payloads = [world.payload() or {} for _ in ids] if rng.random() < 0.8 else None
    return models.Batch(ids=ids, vectors=vectors, payloads=payloads)


def delete(world: World, live: list[int | str]) -> Write:
    rng = world.rng
    if rng.random() < 0.65:
        ids = draw_ids(world, live, absent_chance=0.3)
        form = rng.choice([ids, models.PointIdsList(points=ids)])
        return Write("delete", {"points_selector": form}, ids)
    # A filter that is not satisfied by everything, or the collection would be empty for long.
    found = models.Filter(must=[world.condition(2), world.condition(2)])
    return Write("delete", {"points_selector": models.FilterSelector(filter=found)})


def set_payload(world: World, live: list[int | str]) -> Write:
    rng = world.rng
    arguments = {"payload": world.payload() or {"color": None}, "points": selection(world, live)}
    if rng.random() < 0.35:
        arguments["key"] = rng.choice(SET_KEYS)
    return Write("set_payload", arguments)


def overwrite_payload(world: World, live: list[int | str]) -> Write:
    return Write(
        "overwrite_payload",
        {"payload": world.payload() or {}, "points": selection(world, live)},
    )


def delete_payload(world: World, live: list[int | str]) -> Write:
    keys = world.rng.sample(DELETE_KEYS, world.rng.randint(1, 3))
    return Write("delete_payload", {"keys": keys, "points": selection(world, live)})


def clear_payload(world: World, live: list[int | str]) -> Write:
    return Write("clear_payload", {"points_selector": selection(world, live)})


def update_vectors(world: World, live: list[int | str]) -> Write:
    ids = draw_ids(world, live, absent_chance=0.06)
    arguments: dict[str, Any] = {
        "points": [models.PointVectors(id=id_, vector=world.some_vectors()) for id_ in ids]
    }
    if world.rng.random() < 0.3:
        arguments["update_filter"] = world.filter()
    return Write("update_vectors", arguments, ids)


def delete_vectors(world: World, live: list[int | str]) -> Write:
    names = world.rng.sample(list(world.spaces), world.rng.randint(1, len(world.spaces)))
    return Write("delete_vectors", {"vectors": names, "points": selection(world, live)})


def batch(world: World, live: list[int | str]) -> Write:
    """points/batch: several of the above as one unit."""
    rng = world.rng
    kinds = [upsert, delete, set_payload, overwrite_payload, delete_payload, clear_payload,
             update_vectors, delete_vectors]
    drawn = [rng.choice(kinds)(world, live) for _ in range(rng.randint(1, 6))]
    return Write("batch_update_points", {"update_operations": [as_operation(w) for w in drawn]})


def as_operation(write: Write) -> Any:
    """A write as an element of points/batch."""
    arguments = dict(write.arguments)
    points = arguments.pop("points", arguments.pop("points_selector", None))
    if write.method == "upsert":
        if isinstance(points, models.Batch):
            return models.UpsertOperation(upsert=models.PointsBatch(batch=points, **arguments))
        return models.UpsertOperation(upsert=models.PointsList(points=points, **arguments))
    if write.method == "update_vectors":
        return models.UpdateVectorsOperation(
            update_vectors=models.UpdateVectors(points=points, **arguments)
        )
    if isinstance(points, models.Filter):
        points = models.FilterSelector(filter=points)
    elif isinstance(points, list):
        points = models.PointIdsList(points=points)
    if write.method == "delete":
        return models.DeleteOperation(delete=points)
    if write.method == "clear_payload":
        return models.ClearPayloadOperation(clear_payload=points)
    if isinstance(points, models.FilterSelector):
        chosen: dict[str, Any] = {"filter": points.filter}
    else:
        chosen = {"points": points.points}
    if write.method == "set_payload":
        return models.SetPayloadOperation(set_payload=models.SetPayload(**arguments, **chosen))
    if write.method == "overwrite_payload":
        return models.OverwritePayloadOperation(
            overwrite_payload=models.SetPayload(**arguments, **chosen)
        )
    if write.method == "delete_payload":
        return models.DeletePayloadOperation(
            delete_payload=models.DeletePayload(**arguments, **chosen)
        )
    return models.DeleteVectorsOperation(
        delete_vectors=models.DeleteVectors(vector=arguments["vectors"], **chosen)
    )


def invalid(world: World, live: list[int | str]) -> Write:
    """A write that both sides must refuse whole."""
    rng = world.rng
    name = rng.choice(list(world.spaces))
    good = models.PointStruct(id=rng.choice(world.ids), vector=world.vector(), payload={"x": 1})
    wrong = rng.choice([
        [0.5] * (world.spaces[name].size + 1),
        [],
        "unknown name",
    ])
    if wrong == "unknown name":
        vector: Any = {"no such name": [1.0]}
    else:
        vector = {name: wrong} if world.named else wrong
    bad = models.PointStruct.model_construct(id=7, vector=vector, payload=None)
    return Write("upsert", {"points": [good, bad]}, [good.id, 7])


WRITES = [
    (upsert, 24),
    (delete, 6),
    (set_payload, 12),
    (overwrite_payload, 4),
    (delete_payload, 6),
    (clear_payload, 2),
    (update_vectors, 6),
    (delete_vectors, 5),
    (batch, 8),
    (invalid, 2),
]


def draw_write(world: World, live: list[int | str]) -> Write:
    kinds, weights = zip(*WRITES)
    return world.rng.choices(kinds, weights=weights)[0](world, live)


def draw_query(world: World, live: list[int | str]) -> Query:
    rng = world.rng
    using = rng.choice(list(world.spaces))
    kind = rng.random()
    target: Any = world.values(using)
    if kind < 0.25 and live:
        target = rng.choice(live) if rng.random() < 0.95 else rng.choice(world.ids)
    elif kind < 0.35:
        target = None
    return Query(
        query=target,
        using=using,
        filter=world.maybe_filter(),
        limit=rng.choice([1, 3, 10, 10, 50, 1000]),
        offset=rng.choice([0, 0, 0, 1, 7]),
        exact=rng.random() < 0.5,
        with_payload=world.selector(),
        with_vectors=world.vector_selector(),
        threshold_at=rng.random() if rng.random() < 0.25 and target is not None else None,
    )
