"""Quantization, as clients choose it: every kind is accepted, returned, used, changed and taken away."""

from __future__ import annotations

import random
import time

from qdrant_client import models

from .checks import Checks

DIM, COUNT, LIMIT, QUERIES = 96, 4_000, 10, 8


def vectors(count: int, seed: int) -> list[list[float]]:
    """Around some centres, as embeddings are."""
    chance = random.Random(1)
    centres = [[chance.gauss(0, 1) for _ in range(DIM)] for _ in range(40)]
    chance = random.Random(seed)
    return [[x + chance.gauss(0, 0.6) for x in chance.choice(centres)] for _ in range(count)]


def sealed(check: Checks, name: str) -> None:
    """Waits until all rows are in segments and indexed."""
    check.http.post(f"/collections/{name}/optimizations/run").raise_for_status()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        info = check.client.get_collection(name)
        if info.status == models.CollectionStatus.GREEN and info.indexed_vectors_count == COUNT:
            return
        time.sleep(0.1)
    check.equal("indexed", check.client.get_collection(name).indexed_vectors_count, COUNT)


def recall(check: Checks, name: str, **params: object) -> float:
    """Of the nearest ten, against a search that compares all."""
    found = 0
    for query in vectors(QUERIES, seed=3):
        ask = lambda given: {point.id for point in check.client.query_points(
            name, query=query, limit=LIMIT, search_params=given).points}
        exact, nearest = ask(models.SearchParams(exact=True)), ask(models.SearchParams(**params))
        check.equal("points found", len(nearest), LIMIT)
        found += len(exact & nearest)
    return found / (QUERIES * LIMIT)


def loaded(check: Checks, config: object, distance: models.Distance) -> str:
    name = check.fresh(vectors_config=models.VectorParams(size=DIM, distance=distance),
                       quantization_config=config)
    rows = vectors(COUNT, seed=2)
    for first in range(0, COUNT, 1_000):
        batch = rows[first : first + 1_000]
        check.client.upsert(name, models.Batch(ids=list(range(first, first + len(batch))), vectors=batch))
    sealed(check, name)
    return name


def used(check: Checks, config: object, distance: models.Distance, alone: float) -> None:
    name = loaded(check, config, distance)
    stored = check.client.get_collection(name).config.quantization_config
    check.equal("the configuration", stored, config)
    quantization = models.QuantizationSearchParams
    check.true("recall as it comes", recall(check, name) >= 0.95)
    wider = quantization(rescore=True, oversampling=3.0)
    check.true("recall, oversampled", recall(check, name, quantization=wider) >= 0.95)
    check.true("recall by codes", recall(check, name, quantization=quantization(rescore=False)) >= alone)
    check.equal("recall without codes", recall(check, name, quantization=quantization(ignore=True)), 1.0)


def scalar(check: Checks) -> None:
    config = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(
        type=models.ScalarType.INT8, quantile=0.99, always_ram=True))
    used(check, config, models.Distance.COSINE, 0.9)


def binary(check: Checks) -> None:
    config = models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    used(check, config, models.Distance.DOT, 0.2)
    two = models.BinaryQuantizationConfig(encoding=models.BinaryQuantizationEncoding.TWO_BITS)
    used(check, models.BinaryQuantization(binary=two), models.Distance.EUCLID, 0.4)


def product(check: Checks) -> None:
    for ratio, distance, alone in [
        (models.CompressionRatio.X4, models.Distance.MANHATTAN, 0.8),
        (models.CompressionRatio.X16, models.Distance.COSINE, 0.2),
        (models.CompressionRatio.X64, models.Distance.EUCLID, 0.0),
    ]:
        config = models.ProductQuantization(product=models.ProductQuantizationConfig(compression=ratio))
        used(check, config, distance, alone)


def changed_and_taken_away(check: Checks) -> None:
    name = loaded(check, None, models.Distance.EUCLID)
    scalar = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
    for config in [scalar, models.Disabled.DISABLED]:
        check.true("update", check.client.update_collection(name, quantization_config=config))
        sealed(check, name)
        stored = check.client.get_collection(name).config.quantization_config
        check.equal("the configuration", stored, scalar if config is scalar else None)
        check.true("recall", recall(check, name) >= 0.95)


def known_recall_and_the_parameter(check: Checks) -> None:
    name = loaded(check, None, models.Distance.COSINE)
    known = check.http.get(f"/collections/{name}").json()["result"]["cairn"]["known_recall"]
    check.true("a curve of codes", len(known) >= 1 and len(known[0]["codes"]) > 3)
    query = vectors(1, seed=9)[0]
    for wanted, status in [(0.9, 200), (0.999, 200), (1.0, 200), (0.0, 422), (1.5, 422), ("much", 400)]:
        body = {"query": query, "limit": LIMIT, "params": {"recall": wanted}}
        answer = check.http.post(f"/collections/{name}/points/query", json=body)
        check.equal(f"status for recall {wanted}", answer.status_code, status)
        if status == 200:
            check.equal("points found", len(answer.json()["result"]["points"]), LIMIT)
        else:
            check.true("the field is named", "recall" in answer.json()["status"]["error"])


CASES = [scalar, binary, product, changed_and_taken_away, known_recall_and_the_parameter]
