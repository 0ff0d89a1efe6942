"""Random filters of every kind on a Cairn server and on the client's in-memory mode, compared.

Every seed makes a collection of random points and asks many random filters, up to five deep, in
each of its phases: as loaded, with payloads patched, points deleted and vectors gone, sealed into
segments, with indexes on the fields, after writes by filter, and with all of it merged. The
matching ids must be the same throughout.

    filters.py --binary target/release/cairn --seed 7
    filters.py --binary target/release/cairn --comparisons 1500 --seed 7   # replays seed 7 first
    filters.py --binary target/release/cairn --long
    filters.py --url http://127.0.0.1:6333
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse
from qdrant_client.local import datetime_utils, payload_value_extractor

from compare import Divergence, require
from differential import Server
from filter_worlds import INDEX_FIELDS, INDEX_TYPES, FilterWorld
from node import Node

# Mostly few, because in-memory mode tests every point; some fill more than a block.
POINTS = [20, 60, 60, 60, 150]
FILTERS_A_PHASE = 150
LONG = 300_000


def remember_parsing() -> None:
    """In-memory mode parses every path and date anew for every point; half of its time goes there."""
    parse_path = functools.cache(payload_value_extractor.parse_json_path)
    payload_value_extractor.parse_json_path = lambda key: list(parse_path(key))
    datetime_utils.parse = functools.cache(datetime_utils.parse)


class Run:
    """One seed: a world, the server's collection, and in-memory mode's."""

    def __init__(
        self, seed: int, server: Server, url: str, types: list[Any], counts: Counter[str]
    ) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.world = FilterWorld(self.rng, self.rng.choice(POINTS))
        self.server = server
        self.url = url
        self.types = types
        self.http = httpx.Client(timeout=60)
        self.counts = counts
        self.name = f"filters-{seed}"
        self.memory = QdrantClient(":memory:")
        space = models.VectorParams(size=2, distance=models.Distance.DOT)
        server.delete_collection(self.name)
        self.both("create_collection", vectors_config={"": space, "image": space})

    def both(self, method: str, **arguments: Any) -> None:
        getattr(self.server, method)(self.name, **arguments)
        getattr(self.memory, method)(self.name, **arguments)

    def phases(self) -> None:
        """Asks filters whenever something has changed."""
        self.upsert(self.world.ids)
        self.compare("loaded")
        self.change()
        self.compare("changed in memory")
        self.server.run_optimizations(self.name)
        self.compare("sealed")
        self.change()
        self.compare("changed when sealed")
        self.index()
        self.compare("indexed")
        self.change()
        self.change_by_filter()
        self.compare("changed when indexed")
        self.server.run_optimizations(self.name)
        self.server.wait_green(self.name)
        self.compare("merged")
        self.server.delete_collection(self.name)

    # changes

    def upsert(self, ids: list[Any]) -> None:
        points = [
            models.PointStruct(id=id_, vector=self.world.vector(), payload=self.world.payload())
            for id_ in ids
        ]
        self.both("upsert", points=points)

    def patch(self) -> dict[str, Any]:
        """A payload without nulls in objects, which the client leaves out of what it sends to a
        server and in-memory mode keeps."""
        return without_nulls(self.world.payload())

    def some(self, most: int) -> list[Any]:
        live = self.live()
        return self.rng.sample(live, min(len(live), self.rng.randint(1, most)))

    def live(self) -> list[Any]:
        return self.matching(None)

    def change(self) -> None:
        """New points and old, patched payloads, fewer points and vectors."""
        self.both("set_payload", payload=self.patch(), points=self.some(12))
        self.both("overwrite_payload", payload=self.patch(), points=self.some(6))
        self.both("delete_payload", keys=["word", "items"], points=self.some(6))
        self.both("delete_vectors", vectors=["image"], points=self.some(6))
        self.both("delete", points_selector=self.some(6))
        self.upsert(self.rng.sample(self.world.ids, 10))

    def change_by_filter(self) -> None:
        """Writes by filter touch the points that match, seen after the writes before them."""
        for _ in range(4):
            select = models.FilterSelector(filter=self.world.filter(5))
            self.both("set_payload", payload=self.patch(), points=select)
        self.both("delete_vectors", vectors=[""], points=self.world.filter(3))
        few = self.world.filter(2)
        few.must_not = [models.HasIdCondition(has_id=self.world.ids[: len(self.world.ids) // 2])]
        self.both("delete", points_selector=models.FilterSelector(filter=few))
        self.upsert(self.rng.sample(self.world.ids, 20))

    def index(self) -> None:
        """Indexes of every type, on fields of that type and of others."""
        for field in self.rng.sample(INDEX_FIELDS, 12):
            kind = self.rng.choice(self.types)
            self.server.create_payload_index(self.name, field, field_schema=kind, wait=True)
            self.counts["indexes"] += 1

    # comparisons

    def matching(self, filter_: models.Filter | None) -> list[Any]:
        """The ids that match in in-memory mode."""
        local = self.memory._client.collections[self.name]
        mask = local._payload_and_non_deleted_mask(filter_)
        return [local.ids_inv[row] for row in mask.nonzero()[0]]

    def compare(self, phase: str) -> None:
        filters = [self.world.filter(self.rng.randint(1, 5)) for _ in range(FILTERS_A_PHASE)]
        answers = self.by_batch(filters)
        for at, (filter_, found) in enumerate(zip(filters, answers, strict=True)):
            wanted = self.matching(filter_)
            if set(found) != set(wanted) or len(found) != len(wanted):
                raise Divergence(self.explain(phase, filter_, set(found), set(wanted)))
            if at % 10 == 0:
                self.by_client(phase, filter_, wanted)
            self.counts["comparisons"] += 1
            self.counts["matching"] += len(wanted)
            self.counts["of some"] += 0 < len(wanted) < len(self.world.ids) // 2

    def by_batch(self, filters: list[models.Filter]) -> list[list[Any]]:
        """The ids that match on the server, many filters a request."""
        limit = len(self.world.ids) + 1
        searches = ",".join(
            f'{{"filter":{filter_.model_dump_json(by_alias=True, exclude_none=True)},"limit":{limit}}}'
            for filter_ in filters
        )
        url = f"{self.url}/collections/{self.name}/points/query/batch"
        headers = {"content-type": "application/json"}
        answer = self.http.post(url, content=f'{{"searches":[{searches}]}}', headers=headers)
        require(answer.status_code == 200, f"{url}: {answer.status_code} {answer.text}")
        return [[point["id"] for point in result["points"]] for result in answer.json()["result"]]

    def by_client(self, phase: str, filter_: models.Filter, wanted: list[Any]) -> None:
        """Scroll and count, as the official client asks for them."""
        records, _ = self.server.scroll(
            self.name, scroll_filter=filter_, limit=len(self.world.ids) + 1, with_payload=False
        )
        found = {record.id for record in records}
        if found != set(wanted):
            raise Divergence(self.explain(phase, filter_, found, set(wanted)))
        count = self.server.count(self.name, count_filter=filter_, exact=True).count
        require(count == len(wanted), f"count {count}, should be {len(wanted)}: {brief(filter_)}")

    def explain(self, phase: str, filter_: models.Filter, found: set[Any], wanted: set[Any]) -> str:
        odd = sorted(found ^ wanted, key=str)[0]
        local = self.memory._client.collections[self.name]
        payload = local.payload[local.ids[odd]]
        return (
            f"{phase}: {brief(filter_)}\nthe server finds {len(found)}, should be {len(wanted)}; "
            f"id {odd} {'must not' if odd in found else 'must'} match: {json.dumps(payload)}"
        )


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def brief(filter_: models.Filter) -> str:
    return filter_.model_dump_json(by_alias=True, exclude_none=True)


def index_types(server: Server) -> list[Any]:
    """The types of index that the server has; how many, the suite says in its line."""
    name = "filters-types"
    server.delete_collection(name)
    server.create_collection(name, vectors_config={})
    types = []
    for kind in INDEX_TYPES:
        try:
            server.create_payload_index(name, kind.value, field_schema=kind, wait=True)
            types.append(kind)
        except UnexpectedResponse as error:
            require(error.status_code == 501, f"index of type {kind.value}: {error}")
    server.delete_collection(name)
    return types


def run(url: str, options: argparse.Namespace, counts: Counter[str]) -> str | None:
    """Seed after seed until enough was compared; what went wrong, if anything did."""
    server = Server(url=url, timeout=60, check_compatibility=False)
    seed, types = options.seed, index_types(server)
    counts["index types"] = len(types)
    while counts["comparisons"] < options.comparisons:
        try:
            Run(seed, server, url, types, counts).phases()
        except Exception as error:
            return f"FAILED seed {seed}: {type(error).__name__}: {error}"
        counts["seeds"] += 1
        seed += 1
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--binary", help="the cairn binary to start")
    where.add_argument("--url", help="a running server")
    parser.add_argument("--comparisons", type=int, default=10_000, help="at least so many")
    parser.add_argument("--long", action="store_true", help=f"at least {LONG} comparisons")
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--data", help="where the server's data directory is made, and stays")
    options = parser.parse_args()
    if options.long:
        options.comparisons = LONG
    warnings.filterwarnings("ignore", category=UserWarning)
    remember_parsing()
    counts: Counter[str] = Counter()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cairn-filters-") as directory:
        node = Node(options.binary, Path(options.data or directory) / "data") if options.binary else None
        try:
            if node is not None:
                node.start()
            failure = run(node.url if node else options.url, options, counts)
            if node is not None:
                node.stop()
        finally:
            if node is not None:
                node.close()
    if failure is not None:
        print(failure)
    print(f"suite filters: {counts['comparisons']} comparisons, {counts['of some']} with some matches, "
          f"{counts['seeds']} seeds, {counts['indexes']} indexes, {counts['index types']} index types; first seed {options.seed}, "
          f"{time.monotonic() - started:.0f} s")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
