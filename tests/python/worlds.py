"""Random collections, points, payloads and filters, all drawn from one seed.

Values come from small sets on purpose: filters must match some points and miss others, and
equal vectors must occur, so that ties are tested.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from random import Random
from typing import Any

from qdrant_client import models

KEYWORDS = ["red", "green", "blue", "red ", "", "Größe", "a.b"]
NUMBERS = [-3, -1, 0, 1, 2, 3, 5, 8, 1_000_000]
FLOATS = [-2.5, -0.25, 0.0, 0.5, 1.0, 2.0, 3.75, 1e9]

# Paths that filters, indexes and payload operations use. The first of each kind is common.
FILTER_PATHS = [
    "color", "count", "price", "flag", "mixed", "tags", "tags[]", "tags[0]", "meta", "meta.a",
    "meta.b.c", "items", "items[].k", "items[].v", "items[1].v", '"odd key.x"', "absent.path",
]
INDEX_FIELDS = [
    "color", "count", "price", "flag", "mixed", "tags", "tags[]", "meta.a", "meta.b.c",
    "items[].k", "items[].v", '"odd key.x"',
]
INDEX_TYPES = [
    models.PayloadSchemaType.KEYWORD,
    models.PayloadSchemaType.INTEGER,
    models.PayloadSchemaType.FLOAT,
    models.PayloadSchemaType.BOOL,
]
SET_KEYS = ["meta", "meta.b", "fresh.deep", "items[0]", "items[]", "items[].v", "color", "tags[]"]
DELETE_KEYS = [
    "color", "count", "tags", "meta", "meta.a", "meta.b.c", "items[].k", "tags[]", "items[0]",
    "items[1].v", "mixed", '"odd key.x"', "absent.path",
]
SELECTOR_PATHS = ["color", "count", "tags", "meta", "meta.a", "meta.b", "items[].k", "mixed"]


@dataclass(frozen=True)
class Space:
    """One vector of the schema."""

    size: int
    distance: models.Distance
    datatype: models.Datatype

    def tolerance(self) -> float:
        """Relative error that the element type explains."""
        return 2e-3 if self.datatype == models.Datatype.FLOAT16 else 1e-4


class World:
    """A random schema and everything that is drawn for it."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        named = rng.random() < 0.6
        names = rng.sample(["image", "text", "ünï", "z"], rng.randint(1, 3)) if named else [""]
        self.named = named
        self.spaces = {name: self._space() for name in names}
        self.ids: list[int | str] = list(range(rng.choice([40, 120, 300])))
        self.ids += [2**63 + 5, 2**64 - 1]
        self.ids += [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(len(self.ids) // 4)]
        self.seen: dict[str, list[list[float]]] = {name: [] for name in names}

    def _space(self) -> Space:
        rng = self.rng
        return Space(
            size=rng.choice([1, 2, 3, 8, 16, 24, 33]),
            distance=rng.choice(list(models.Distance)),
            datatype=rng.choices(
                [models.Datatype.FLOAT32, models.Datatype.FLOAT16, models.Datatype.UINT8],
                weights=[4, 2, 2],
            )[0],
        )

    def create_arguments(self) -> dict[str, Any]:
        """Arguments of create_collection: graphs are built early, so that both kinds of
        segments are searched."""
        rng = self.rng
        params = {
            name: models.VectorParams(
                size=space.size, distance=space.distance, datatype=space.datatype
            )
            for name, space in self.spaces.items()
        }
        return {
            "vectors_config": params if self.named else params[""],
            "hnsw_config": models.HnswConfigDiff(
                m=rng.choice([4, 8, 16]),
                ef_construct=rng.choice([16, 64, 100]),
                full_scan_threshold=rng.choice([10, 10, 10_000]),
            ),
            "optimizers_config": models.OptimizersConfigDiff(
                indexing_threshold=rng.choice([0, 1, 1, 4, 10_000]),
                default_segment_number=rng.choice([0, 1, 2, 4]),
                deleted_threshold=rng.choice([0.05, 0.2, 0.5]),
                vacuum_min_vector_number=100,
            ),
        }

    # vectors

    def values(self, name: str) -> list[float]:
        """A vector of the named space; sometimes one that was drawn before, or zeros."""
        rng, space = self.rng, self.spaces[name]
        seen = self.seen[name]
        if seen and rng.random() < 0.08:
            return list(rng.choice(seen))
        if rng.random() < 0.02:
            return [0.0] * space.size
        if space.datatype == models.Datatype.UINT8:
            drawn = [float(rng.randint(0, 255)) for _ in range(space.size)]
        elif space.datatype == models.Datatype.FLOAT16:
            # Exact in half precision, so that only cosine's normalisation rounds.
            drawn = [rng.randint(-256, 256) / 64 for _ in range(space.size)]
        else:
            drawn = [round(rng.gauss(0, 1), 4) for _ in range(space.size)]
        if 0 < sum(x * x for x in drawn) < 1e-6:
            # Qdrant's server stores vectors below its epsilon as they are, in-memory mode at unit
            # length; the server is what is followed.
            drawn[0] = 1.0
        if len(seen) < 50:
            seen.append(drawn)
        return drawn

    def vector(self) -> Any:
        """The `vector` of a point: all, some or none of the names."""
        rng = self.rng
        if not self.named:
            return self.values("") if rng.random() < 0.93 else {}
        names = [name for name in self.spaces if rng.random() < 0.8]
        return {name: self.values(name) for name in names}

    def some_vectors(self) -> Any:
        """The `vector` of an update: at least one name."""
        if not self.named:
            return self.values("")
        names = self.rng.sample(list(self.spaces), self.rng.randint(1, len(self.spaces)))
        return {name: self.values(name) for name in names}

    # payloads

    def keyword(self) -> str:
        return self.rng.choice(KEYWORDS)

    def scalar(self) -> Any:
        rng = self.rng
        return rng.choice([self.keyword(), rng.choice(NUMBERS), rng.choice(FLOATS), True, None])

    def mixed(self) -> Any:
        rng = self.rng
        kind = rng.randrange(8)
        if kind < 5:
            return self.scalar()
        if kind == 5:
            return [self.scalar() for _ in range(rng.randint(0, 4))]
        if kind == 6:
            return {"a": self.scalar()} if rng.random() < 0.7 else {}
        return [[self.scalar()], {"k": self.keyword()}]

    def payload(self) -> dict[str, Any] | None:
        """A payload; every field may be absent, and sometimes null."""
        rng = self.rng
        if rng.random() < 0.05:
            return rng.choice([None, {}])
        fields: dict[str, Any] = {
            "color": lambda: self.keyword(),
            "count": lambda: rng.choice(NUMBERS),
            "price": lambda: rng.choice(FLOATS),
            "flag": lambda: rng.random() < 0.5,
            "mixed": lambda: self.mixed(),
            "tags": lambda: [rng.choice([self.keyword(), None]) if rng.random() < 0.1
                             else self.keyword() for _ in range(rng.randint(0, 4))],
            "meta": lambda: {"a": rng.choice(NUMBERS), "b": {"c": self.mixed()}},
            "items": lambda: [
                {"k": self.keyword(), "v": self.scalar()} for _ in range(rng.randint(0, 3))
            ],
            "odd key.x": lambda: self.scalar(),
            "unicode ☃": lambda: "snow",
        }
        drawn = {}
        for key, draw in fields.items():
            chance = rng.random()
            if chance < 0.65:
                drawn[key] = draw()
            elif chance < 0.7:
                drawn[key] = None
        return drawn

    def selector(self) -> Any:
        """with_payload: everything, nothing, or some paths."""
        rng = self.rng
        paths = rng.sample(SELECTOR_PATHS, rng.randint(1, 3))
        return rng.choice([
            True, True, False, paths,
            models.PayloadSelectorInclude(include=paths),
            models.PayloadSelectorExclude(exclude=paths),
        ])

    def vector_selector(self) -> Any:
        rng = self.rng
        if self.named and rng.random() < 0.3:
            return rng.sample(list(self.spaces), rng.randint(1, len(self.spaces)))
        return rng.random() < 0.5

    # filters

    def filter(self, depth: int = 3) -> models.Filter:
        """A random filter with at most `depth` levels."""
        rng = self.rng

        def clause() -> Any:
            conditions = [self.condition(depth) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
            return conditions[0] if len(conditions) == 1 and rng.random() < 0.3 else conditions

        drawn = models.Filter(
            must=clause() if rng.random() < 0.6 else None,
            should=clause() if rng.random() < 0.4 else None,
            must_not=clause() if rng.random() < 0.3 else None,
        )
        if rng.random() < 0.15:
            count = rng.randint(1, 4)
            drawn.min_should = models.MinShould(
                conditions=[self.condition(depth) for _ in range(count)],
                min_count=rng.randint(1, count),
            )
        return drawn

    def maybe_filter(self) -> models.Filter | None:
        return self.filter() if self.rng.random() < 0.6 else None

    def condition(self, depth: int) -> Any:
        rng = self.rng
        key = rng.choice(FILTER_PATHS)
        draw = rng.choices(
            [
                lambda: self.match(key),
                lambda: models.FieldCondition(key=key, range=self.range()),
                lambda: models.IsEmptyCondition(is_empty=models.PayloadField(key=key)),
                lambda: models.IsNullCondition(is_null=models.PayloadField(key=key)),
                lambda: models.FieldCondition(key=key, is_empty=rng.random() < 0.5),
                lambda: models.FieldCondition(key=key, is_null=rng.random() < 0.5),
                lambda: models.HasIdCondition(
                    has_id=rng.sample(self.ids, rng.choice([0, 1, 5, 30]))
                ),
                lambda: self.filter(depth - 1) if depth > 1 else self.match(key),
            ],
            weights=[9, 4, 1, 1, 1, 1, 2, 3],
        )[0]
        return draw()

    def match(self, key: str) -> models.FieldCondition:
        rng = self.rng
        keywords = [self.keyword() for _ in range(rng.randint(0, 3))]
        numbers = [rng.choice(NUMBERS) for _ in range(rng.randint(0, 3))]
        found = rng.choice([
            lambda: models.MatchValue(value=self.keyword()),
            lambda: models.MatchValue(value=rng.choice(NUMBERS)),
            lambda: models.MatchValue(value=rng.random() < 0.5),
            lambda: models.MatchAny(any=keywords),
            lambda: models.MatchAny(any=numbers),
            lambda: models.MatchExcept(**{"except": keywords}),
            lambda: models.MatchExcept(**{"except": numbers}),
        ])()
        return models.FieldCondition(key=key, match=found)

    def range(self) -> models.Range:
        rng = self.rng
        bounds = sorted(rng.choice(NUMBERS[:-1] + FLOATS[:-1]) for _ in range(2))
        low = rng.choice(["gt", "gte", None])
        high = rng.choice(["lt", "lte", None])
        drawn = models.Range()
        if low:
            setattr(drawn, low, float(bounds[0]))
        if high:
            setattr(drawn, high, float(bounds[1]))
        return drawn
