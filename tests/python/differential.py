"""Random operations on a Cairn server and on the client's in-memory mode, compared throughout.

Every seed makes its own collection: random vectors, metrics, element types and settings; then
random writes and reads. Between them the server flushes and compacts, is killed and restarted,
sometimes in the middle of a write. After every write the whole states are compared.

    differential.py --binary target/release/cairn --seeds 1..20
    differential.py --binary target/release/cairn --minutes 30
    differential.py --url http://127.0.0.1:6333 --seeds 7..7 --steps 120

`--url` uses a running server and so cannot kill it. `--url memory` compares in-memory mode with
itself, which shows that a difference found is the server's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

import compare
from compare import Divergence, require
from node import Node
from operations import WRITES, Query, Write, draw_query, draw_write
from oracle import EVERYTHING, REFUSALS, Oracle
from worlds import INDEX_FIELDS, INDEX_TYPES, World

# Fields whose values are all of the types that these indexes hold, so that in-memory mode, which
# takes what it finds, agrees.
NUMBER_INDEXES = [models.PayloadSchemaType.INTEGER, models.PayloadSchemaType.FLOAT]
ORDERED = {"count": NUMBER_INDEXES, "meta.a": NUMBER_INDEXES, "price": NUMBER_INDEXES[1:]}
FACETED = {
    "color": [models.PayloadSchemaType.KEYWORD], "tags": [models.PayloadSchemaType.KEYWORD],
    "items[].k": [models.PayloadSchemaType.KEYWORD], "count": [models.PayloadSchemaType.INTEGER],
    "flag": [models.PayloadSchemaType.BOOL],
}
GROUPED = ["color", "count", "tags", "mixed", "meta.a", "items[].k", "absent.path"]

# Deleting an id that no world draws: changes nothing, and is applied after all earlier writes.
BARRIER_ID = 2**62


class Run:
    """One seed: a world, the server's collection, and the oracle's."""

    def __init__(self, seed: int, server: Any, node: Node | None, counts: Counter[str]) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.world = World(self.rng)
        self.server = server
        self.node = node
        self.counts = counts
        self.name = f"diff-{seed}"
        self.indexes: dict[str, models.PayloadSchemaType] = {}
        self.history: list[str] = []
        arguments = self.world.create_arguments()
        self.oracle = Oracle(self.name, arguments)
        self.server.delete_collection(self.name)
        self.server.create_collection(self.name, **arguments)

    def load(self) -> None:
        """Most ids at once, in the order of the pool, so that graphs have something to hold."""
        count = len(self.world.ids) * 3 // 4
        points = [
            models.PointStruct(
                id=id_, vector=self.world.vector(), payload=self.world.payload() or {}
            )
            for id_ in self.world.ids[:count]
        ]
        self.do(Write("upsert", {"points": points}), wait=True)

    def steps(self, count: int, until: float) -> None:
        if self.rng.random() < 0.6:
            self.load()
        for _ in range(count):
            if time.monotonic() > until:
                return
            self.step()
        self.server.delete_collection(self.name)

    def step(self) -> None:
        kind = self.rng.choices(
            [self.write, self.query, self.scroll, self.count, self.retrieve, self.batch_query,
             self.ordered, self.facet, self.groups, self.index, self.optimize, self.restart,
             self.crash_during_write, self.settings],
            weights=[40, 22, 8, 8, 5, 3, 5, 4, 4, 5, 4, 1, 1, 1],
        )[0]
        kind()
        self.counts["operations"] += 1

    def note(self, text: str) -> None:
        self.history.append(text)

    # writes

    def write(self) -> None:
        write = draw_write(self.world, self.oracle.live_ids())
        self.do(write, wait=self.rng.random() < 0.85)

    def do(self, write: Write, wait: bool) -> None:
        """Does a write on both sides and compares the outcome and the states."""
        self.note(f"{write.method} wait={wait} {brief(write.arguments)}")
        refusal = self.oracle.attempt(write.method, write.arguments)
        try:
            self.send(write, wait)
        except REFUSALS as error:
            require(refusal is not None, f"{write.method} was refused: {error}")
            status = getattr(error, "status_code", 400)
            require(400 <= status < 500, f"{write.method}: status {status}: {error}")
            self.counts["refusals"] += 1
        else:
            require(refusal is None, f"{write.method} was accepted, but: {refusal!r}")
        if not wait:
            self.server.delete(self.name, points_selector=[BARRIER_ID], wait=True)
        self.check_state()

    def send(self, write: Write, wait: bool) -> None:
        getattr(self.server, write.method)(self.name, wait=wait, **write.arguments)

    def crash_during_write(self) -> None:
        """SIGKILL while a write is under way: it is there whole, or not at all."""
        if self.node is None:
            return
        write = draw_write(self.world, self.oracle.live_ids())
        self.note(f"crash during {write.method} {brief(write.arguments)}")
        before = self.oracle.state()
        refusal = self.oracle.attempt(write.method, write.arguments)
        outcome: list[Any] = []

        def send() -> None:
            try:
                self.send(write, wait=True)
                outcome.append("acknowledged")
            except (ResponseHandlingException, httpx.HTTPError):
                outcome.append("unknown")
            except REFUSALS as error:
                outcome.append(error)

        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(self.rng.random() ** 3 * 0.03)
        self.node.kill()
        thread.join()
        self.node.start()
        self.counts["kills"] += 1
        if outcome[0] == "acknowledged":
            require(refusal is None, f"{write.method} was accepted, but: {refusal!r}")
            self.check_state()
            return
        if outcome[0] != "unknown":
            require(refusal is not None, f"{write.method} was refused: {outcome[0]}")
        try:
            self.check_state()
        except Divergence as with_it:
            self.oracle.restore(before)
            try:
                self.check_state()
            except Divergence as without_it:
                raise Divergence(
                    f"after the crash neither all of {write.method} is there ({with_it}) "
                    f"nor nothing of it ({without_it})"
                ) from None
        self.counts["in flight"] += 1

    # what changes nothing

    def index(self) -> None:
        if self.indexes and self.rng.random() < 0.35:
            field = self.rng.choice(list(self.indexes))
            self.note(f"drop index {field}")
            del self.indexes[field]
            self.server.delete_payload_index(self.name, field, wait=True)
        else:
            field, kind = self.rng.choice(INDEX_FIELDS), self.rng.choice(INDEX_TYPES)
            self.note(f"create index {field} {kind}")
            self.indexes[field] = kind
            self.server.create_payload_index(self.name, field, field_schema=kind, wait=True)
        if isinstance(self.server, Memory):
            return
        info = self.server.get_collection(self.name)
        have = {field: schema.data_type for field, schema in info.payload_schema.items()}
        require(have == self.indexes, f"payload_schema {have}, should be {self.indexes}")

    def optimize(self) -> None:
        """Flush and compaction at once, sometimes awaited."""
        self.note("optimize")
        self.server.run_optimizations(self.name)
        if self.rng.random() < 0.5:
            self.server.wait_green(self.name)
            self.check_state()

    def restart(self) -> None:
        if self.node is None:
            return
        if self.rng.random() < 0.7:
            self.note("kill")
            self.node.kill()
            self.counts["kills"] += 1
        else:
            self.note("stop")
            self.node.stop()
            self.counts["stops"] += 1
        self.node.start()
        self.check_state()

    def settings(self) -> None:
        threshold = self.rng.choice([0, 1, 4, 10_000])
        self.note(f"settings indexing_threshold={threshold}")
        self.server.update_collection(
            self.name,
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=threshold),
        )

    # reads

    def check_state(self) -> None:
        """Every point, with payload and vectors, and how many there are."""
        arguments = {"limit": EVERYTHING, "with_payload": True, "with_vectors": True}
        got, rest = self.server.scroll(self.name, **arguments)
        want, _ = self.oracle.client.scroll(self.name, **arguments)
        require(rest is None, f"everything was asked for, but there is more at {rest!r}")
        compare.check_records(self.world, "state", got, want)
        self.counts["states"] += 1
        self.counts["points"] += len(got)

    def query(self) -> None:
        drawn = draw_query(self.world, self.oracle.live_ids())
        self.note(f"query {brief(drawn)}")
        truth = self.truth(drawn)
        threshold = self.threshold(drawn, truth)
        try:
            got = self.server.query_points(self.name, **self.arguments(drawn, threshold)).points
        except REFUSALS as error:
            require(isinstance(truth, Exception), f"query was refused: {error}")
            self.counts["refusals"] += 1
            return
        require(not isinstance(truth, Exception), f"query was accepted, but: {truth!r}")
        self.check_answer(drawn, threshold, got, truth)

    def batch_query(self) -> None:
        drawn = [draw_query(self.world, self.oracle.live_ids()) for _ in range(3)]
        truths = [self.truth(query) for query in drawn]
        pairs = [(q, t) for q, t in zip(drawn, truths) if not isinstance(t, Exception)]
        if not pairs:
            return
        self.note(f"batch of {brief(drawn)}")
        requests = []
        for query, _ in pairs:
            fields = self.arguments(query, None)
            requests.append(models.QueryRequest(
                filter=fields.pop("query_filter"), params=fields.pop("search_params"),
                with_vector=fields.pop("with_vectors"), **fields,
            ))
        answers = self.server.query_batch_points(self.name, requests)
        require(len(answers) == len(pairs), f"{len(answers)} answers to {len(pairs)} queries")
        for (query, truth), answer in zip(pairs, answers):
            self.check_answer(query, None, answer.points, truth)

    def arguments(self, query: Query, threshold: float | None) -> dict[str, Any]:
        return {
            "query": query.query,
            "using": query.using or None,
            "query_filter": query.filter,
            "limit": query.limit,
            "offset": query.offset,
            "search_params": models.SearchParams(exact=True) if query.exact else None,
            "with_payload": query.with_payload,
            "with_vectors": query.with_vectors,
            "score_threshold": threshold,
        }

    def truth(self, query: Query) -> Any:
        """The whole ranking, or why there is none."""
        everything = self.arguments(query, None) | {"limit": EVERYTHING, "offset": 0}
        try:
            return self.oracle.client.query_points(self.name, **everything).points
        except REFUSALS as refusal:
            return refusal

    def threshold(self, query: Query, truth: Any) -> float | None:
        """A threshold between two scores that rounding cannot confuse."""
        if query.threshold_at is None or isinstance(truth, Exception) or len(truth) < 2:
            return None
        at = int(query.threshold_at * (len(truth) - 1))
        above, below = truth[at].score, truth[at + 1].score
        largest = max(abs(hit.score) for hit in truth)
        if compare.close_score(self.world, query.using, above, below, 10 * largest):
            return None
        return (above + below) / 2

    def check_answer(
        self, query: Query, threshold: float | None, got: list[Any], truth: list[Any]
    ) -> None:
        self.counts["queries"] += 1
        window = slice(query.offset, query.offset + query.limit)
        if query.query is None:
            compare.check_records(self.world, "no query", got, truth[window])
            return
        if threshold is not None:
            small = compare.ascending(self.world, query.using)
            truth = [h for h in truth if (h.score < threshold if small else h.score > threshold)]
        good, size = compare.check_hits(
            self.world, "query", query.using, got, truth, window, query.exact
        )
        if not query.exact:
            self.counts["recall hits"] += good
            self.counts["recall size"] += size

    def scroll(self) -> None:
        arguments = {
            "scroll_filter": self.world.maybe_filter(),
            "limit": self.rng.choice([1, 2, 10, 100]),
            "offset": self.rng.choice([None, self.rng.choice(self.world.ids)]),
            "with_payload": self.world.selector(),
            "with_vectors": self.world.vector_selector(),
        }
        self.note(f"scroll {brief(arguments)}")
        got, rest = self.server.scroll(self.name, **arguments)
        want, true_rest = self.oracle.client.scroll(self.name, **arguments)
        compare.check_records(self.world, "scroll", got, want)
        require(rest == true_rest, f"scroll: next page at {rest!r}, should be {true_rest!r}")
        self.counts["scrolls"] += 1

    def ordered(self) -> None:
        """Some pages by a field, or the refusal of a field without an order."""
        key = self.rng.choice(list(ORDERED))
        order: dict[str, Any] = {"key": key, "direction": self.rng.choice(["asc", "desc"])}
        if self.rng.random() < 0.4:
            order["start_from"] = self.rng.choice([0, 2, -0.25, 1.5])
        filter_, limit = self.world.maybe_filter(), self.rng.choice([2, 10, 100])
        self.note(f"order by {order} {brief(filter_)}")
        arguments = {"scroll_filter": filter_, "order_by": models.OrderBy(**order)}
        if self.indexes.get(key) not in ORDERED[key]:
            if key not in self.indexes:
                self.refused("order_by", lambda: self.server.scroll(self.name, **arguments))
            return
        truth, _ = self.oracle.client.scroll(self.name, limit=EVERYTHING, **arguments)
        got, _ = self.server.scroll(self.name, limit=limit, **arguments)
        # In-memory mode leaves equal values in the order of their points, the server in that of
        # their ids.
        values = [record.order_value for record in truth[:limit]]
        require([r.order_value for r in got] == values, f"order by {order}: {got}, not {values}")
        known = {(record.order_value, record.id): record for record in truth}
        for record in got:
            true = known.pop((record.order_value, record.id), None)
            require(true is not None, f"order by {order}: {record.id} is not there, or twice")
            compare.check_record(self.world, f"order by {order}", record, true)
        self.counts["listings"] += 1

    def facet(self) -> None:
        key = self.rng.choice(list(FACETED))
        arguments = {"key": key, "facet_filter": self.world.maybe_filter(),
                     "limit": self.rng.choice([1, 5, 100])}
        self.note(f"facet {brief(arguments)}")
        if self.indexes.get(key) not in FACETED[key]:
            if key not in self.indexes:
                self.refused("facet", lambda: self.server.facet(self.name, **arguments))
            return
        got = self.server.facet(self.name, **arguments)
        want = self.oracle.client.facet(self.name, **arguments)
        require(got == want, f"facet of {key}: {got}, should be {want}")
        self.counts["facets"] += 1

    def groups(self) -> None:
        """Groups of an exact query, of which all are known."""
        drawn = draw_query(self.world, self.oracle.live_ids())
        arguments = self.arguments(drawn, None) | {
            "search_params": models.SearchParams(exact=True), "group_by": self.rng.choice(GROUPED),
            "limit": self.rng.choice([1, 3, 100]), "group_size": self.rng.choice([1, 2, 30]),
        }
        del arguments["offset"]
        self.note(f"groups {brief(arguments)}")
        if isinstance(self.truth(drawn), Exception):
            return
        got = self.server.query_points_groups(self.name, **arguments).groups
        everything = arguments | {"limit": EVERYTHING, "group_size": EVERYTHING}
        truth = self.oracle.client.query_points_groups(self.name, **everything).groups
        want = {group.id: group.hits for group in truth}
        require(len(got) == min(len(want), arguments["limit"]), f"{len(got)} of {len(want)} groups")
        require(len({group.id for group in got}) == len(got), "a group occurs twice")
        for group in got:
            ranking = want.get(group.id)
            require(ranking is not None, f"there is no group {group.id!r}")
            window = slice(0, arguments["group_size"])
            if drawn.query is None:
                compare.check_records(self.world, "group", group.hits, ranking[window])
            else:
                compare.check_hits(
                    self.world, f"group {group.id!r}", drawn.using, group.hits, ranking, window, True
                )
        self.counts["groups"] += len(got)

    def refused(self, what: str, call: Any) -> None:
        """The server refuses what in-memory mode, which has no indexes, would do."""
        if isinstance(self.server, Memory):
            return
        try:
            call()
        except UnexpectedResponse as error:
            require(error.status_code == 400, f"{what}: status {error.status_code}")
            self.counts["refusals"] += 1
            return
        raise Divergence(f"{what} without an index was accepted")

    def count(self) -> None:
        drawn = self.world.filter()
        self.note(f"count {brief(drawn)}")
        got = self.server.count(self.name, count_filter=drawn, exact=True).count
        want = self.oracle.client.count(self.name, count_filter=drawn, exact=True).count
        require(got == want, f"count {got}, should be {want}")
        self.counts["counts"] += 1

    def retrieve(self) -> None:
        ids = self.rng.sample(self.world.ids, min(8, len(self.world.ids)))
        arguments = {
            "with_payload": self.world.selector(), "with_vectors": self.world.vector_selector()
        }
        self.note(f"retrieve {ids}")
        got = self.server.retrieve(self.name, ids, **arguments)
        want = self.oracle.client.retrieve(self.name, ids, **arguments)

        def by_id(records: list[Any]) -> list[Any]:
            return sorted(records, key=lambda record: str(record.id))

        compare.check_records(self.world, "retrieve", by_id(got), by_id(want))
        self.counts["retrieves"] += 1


class Server(QdrantClient):
    """The client, and what it has no method for."""

    def run_optimizations(self, name: str) -> None:
        url = f"{self.init_options['url']}/collections/{name}/optimizations/run"
        answer = httpx.post(url, timeout=30)
        require(answer.status_code == 200, f"{url}: {answer.status_code} {answer.text}")

    def wait_green(self, name: str) -> None:
        until = time.monotonic() + 60
        while True:
            info = self.get_collection(name)
            require(info.optimizer_status == "ok", f"optimizer: {info.optimizer_status}")
            if info.status == models.CollectionStatus.GREEN:
                return
            require(time.monotonic() < until, f"not green after 60 s: {info.status}")
            time.sleep(0.02)


class Memory:
    """In-memory mode in the server's place, to test the suite itself."""

    READS = {"query_points", "query_batch_points", "scroll", "count", "retrieve", "facet",
             "query_points_groups"}
    WRITES = {kind.__name__ for kind, _ in WRITES} | {"batch_update_points"}

    def create_collection(self, name: str, **arguments: Any) -> None:
        self.oracle = Oracle(name, arguments)

    def __getattr__(self, method: str) -> Any:
        if method in self.READS:
            return getattr(self.oracle.client, method)

        def call(name: str, *_: Any, wait: bool = True, **arguments: Any) -> None:
            if method in self.WRITES:
                refusal = self.oracle.attempt(method, arguments)
                if refusal is not None:
                    raise refusal

        return call


def brief(value: Any) -> str:
    """A value for people: models as JSON without the unset fields."""
    if hasattr(value, "model_dump"):
        return f"{type(value).__name__}{json.dumps(dump(value), ensure_ascii=False)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {brief(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(brief, value)) + "]"
    if isinstance(value, Query):
        return brief(vars(value))
    return repr(value)


def dump(model: Any) -> Any:
    return model.model_dump(mode="json", exclude_none=True, by_alias=True, warnings=False)


def seeds_of(text: str) -> range:
    first, _, last = text.partition("..")
    return range(int(first), int(last or first) + 1)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--binary", help="the cairn binary to start, kill and restart")
    where.add_argument("--url", help="a running server, or `memory`")
    parser.add_argument("--seeds", type=seeds_of, help="A..B, both included")
    parser.add_argument("--minutes", type=float, help="go on through the seeds for so long")
    parser.add_argument("--steps", type=int, default=150, help="operations a seed")
    parser.add_argument("--data", help="where the server's data directory is made, and stays")
    parser.add_argument("--keep", help="copy the data directory of a failed seed here")
    parser.add_argument("--recall", type=float, default=0.97, help="floor without `exact`")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    warnings.filterwarnings("ignore")
    first = int(time.time()) % 1_000_000 if options.seeds is None else options.seeds.start
    until = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    last = options.seeds.stop if options.seeds else (first + 1 if not options.minutes else 10**9)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="cairn-differential-") as directory:
        place = Path(options.data or directory) / "data"
        node = Node(options.binary, place) if options.binary else None
        try:
            if node is not None:
                node.start()
            for seed in range(first, last):
                if time.monotonic() > until:
                    break
                if not run_seed(seed, options, node, counts, until):
                    return 1
            if node is not None:
                node.stop()
        finally:
            if node is not None:
                node.close()
    return summary(first, counts, options.recall)


def run_seed(
    seed: int, options: argparse.Namespace, node: Node | None, counts: Counter[str], until: float
) -> bool:
    if options.url == "memory":
        server: Any = Memory()
    else:
        server = Server(url=node.url if node else options.url, timeout=60)
    run = None
    try:
        run = Run(seed, server, node, counts)
        run.steps(options.steps, until)
    except Exception as error:
        where = f"--binary {options.binary}" if node else f"--url {options.url}"
        print(f"FAILED with seed {seed}: {error}")
        if not isinstance(error, Divergence):
            traceback.print_exc(file=sys.stdout)
        if run is not None:
            print("\n".join(f"  before: {line[:4000]}" for line in run.history[-4:]))
            print(f"  world: {run.world.spaces}")
        print(f"  replay: differential.py {where} --seeds {seed}..{seed} --steps {options.steps}")
        if node is not None:
            print(f"  log of the server:\n{node.log()}")
            if options.keep:
                node.close()
                shutil.copytree(node.directory, options.keep)
        return False
    counts["seeds"] += 1
    return True


def summary(first: int, counts: Counter[str], floor: float) -> int:
    size, hits = counts.pop("recall size", 0), counts.pop("recall hits", 0)
    recall = hits / size if size else 1.0
    order = ["operations", "seeds", "states", "points", "queries", "scrolls", "counts",
             "retrieves", "refusals", "kills", "stops", "in flight"]
    figures = ", ".join(f"{counts[unit]} {unit}" for unit in order)
    print(f"suite differential: {figures}; first seed {first}, "
          f"recall without exact {recall:.4f} over {size}")
    if recall < floor:
        print(f"FAILED: recall {recall:.4f} is below {floor}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
