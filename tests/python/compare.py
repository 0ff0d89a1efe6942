"""Comparing answers: equal up to rounding, and up to the order of equal scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from qdrant_client import models

from worlds import World


class Divergence(AssertionError):
    """The server's answer is not the true one."""


def require(condition: bool, message: str) -> None:
    if not condition:
        raise Divergence(message)


def same_json(left: Any, right: Any) -> bool:
    """Equal as JSON: 1 is not 1.0 and not true. The order of keys does not matter."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same_json(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    return left == right


def check_payload(where: str, got: Any, want: Any) -> None:
    require(same_json(got or {}, want or {}), f"{where}: payload {got!r}, should be {want!r}")


def named(vector: Any) -> dict[str, list[float]]:
    """A point's vectors by name, whatever form they came in."""
    if vector is None:
        return {}
    return vector if isinstance(vector, dict) else {"": vector}


def check_vectors(world: World, where: str, got: Any, want: Any) -> None:
    left, right = named(got), named(want)
    require(left.keys() == right.keys(), f"{where}: vectors {sorted(left)}, not {sorted(right)}")
    for name, values in left.items():
        space = world.spaces[name]
        got_array, want_array = vector_of(world, name, values), np.asarray(right[name])
        require(got_array.shape == want_array.shape, f"{where}: vector {name!r} {got_array.shape}")
        absolute = 1e-3 if space.datatype == models.Datatype.FLOAT16 else 1e-6
        close = np.allclose(got_array, want_array, rtol=space.tolerance(), atol=absolute)
        require(close, f"{where}: vector {name!r} {values}, should be {right[name]}")


def vector_of(world: World, name: str, values: list[float]) -> np.ndarray:
    """A vector as the server gives it, in the form that in-memory mode stores."""
    array = np.asarray(values, dtype=np.float64)
    space = world.spaces[name]
    if space.datatype == models.Datatype.UINT8 and space.distance == models.Distance.COSINE:
        norm = np.linalg.norm(array)
        return array / norm if norm > 0 else array
    return array


def check_record(world: World, where: str, got: Any, want: Any) -> None:
    require(got.id == want.id, f"{where}: id {got.id!r}, should be {want.id!r}")
    check_payload(f"{where} id {got.id!r}", got.payload, want.payload)
    check_vectors(world, f"{where} id {got.id!r}", got.vector, want.vector)


def check_records(world: World, where: str, got: list[Any], want: list[Any]) -> None:
    """The same records in the same order."""
    ids = [record.id for record in got]
    true_ids = [record.id for record in want]
    if ids != true_ids:
        missing = [id_ for id_ in true_ids if id_ not in set(ids)]
        extra = [id_ for id_ in ids if id_ not in set(true_ids)]
        raise Divergence(
            f"{where}: {len(ids)} records, should be {len(true_ids)}; "
            f"missing {missing[:5]}, too many {extra[:5]}"
        )
    for left, right in zip(got, want):
        check_record(world, where, left, right)


def ascending(world: World, using: str) -> bool:
    """Whether a smaller score is better."""
    return world.spaces[using].distance in (models.Distance.EUCLID, models.Distance.MANHATTAN)


def close_score(world: World, using: str, left: float, right: float, largest: float) -> bool:
    space = world.spaces[using]
    # A cosine sums products of unit vectors: rounding their elements to half precision adds up to
    # 2^-11, a quarter of the tolerance, and that does not shrink with the sum.
    half = space.datatype == models.Datatype.FLOAT16
    least = 0.25 if half and space.distance == models.Distance.COSINE else 1e-2
    relative = space.tolerance()
    return math.isclose(left, right, rel_tol=relative, abs_tol=relative * max(least, largest))


def check_hits(
    world: World, where: str, using: str, got: list[Any], ranking: list[Any], window: slice,
    exact: bool,
) -> tuple[int, int]:
    """Checks hits against the whole true ranking. Returns (hits of the true window, its size).

    Every hit must be in the ranking with its true score, payload and vectors; there must be as
    many as there can be; exact ones must have the scores of the window, position by position.
    """
    truth = {hit.id: hit for hit in ranking}
    window_hits = ranking[window]
    largest = max((abs(hit.score) for hit in ranking), default=0.0)
    ids = [hit.id for hit in got]
    require(len(set(ids)) == len(ids), f"{where}: an id occurs twice: {ids}")
    require(
        len(got) == len(window_hits),
        f"{where}: {len(got)} hits, should be {len(window_hits)} of {len(ranking)} matching",
    )
    for hit in got:
        true = truth.get(hit.id)
        require(true is not None, f"{where}: {hit.id!r} does not match")
        require(
            close_score(world, using, hit.score, true.score, largest),
            f"{where}: {hit.id!r} has score {hit.score}, should be {true.score}",
        )
        check_payload(f"{where} id {hit.id!r}", hit.payload, true.payload)
        check_vectors(world, f"{where} id {hit.id!r}", hit.vector, true.vector)
    sign = 1 if ascending(world, using) else -1
    for before, after in zip(got, got[1:]):
        ordered = sign * before.score <= sign * after.score + 1e-6 * max(1.0, largest)
        require(ordered, f"{where}: scores out of order: {before.score}, {after.score}")
    if exact:
        for position, (hit, true) in enumerate(zip(got, window_hits)):
            require(
                close_score(world, using, hit.score, true.score, largest),
                f"{where}: position {position} has score {hit.score}, should be {true.score}",
            )
        return len(got), len(got)
    if not window_hits:
        return 0, 0
    # A hit counts if it is as good as the worst of the true window: ties are no misses.
    worst = window_hits[-1].score
    good = sum(
        sign * hit.score <= sign * worst or close_score(world, using, hit.score, worst, largest)
        for hit in got
    )
    return good, len(window_hits)
