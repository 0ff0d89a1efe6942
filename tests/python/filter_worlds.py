"""Random payloads and filters of every kind, drawn from one seed.

Values come from small sets on purpose: filters must match some points and miss others.

What in-memory mode and Qdrant's server answer differently is not drawn, and only that:

- Arrays in an array that a path ending in `[]` or `[0]` selects: the server looks into the inner
  array, in-memory mode does not (`value_by_key` spreads arrays behind keys only).
- Elements of an array under a nested condition that are no objects: the server passes over them,
  in-memory mode evaluates the filter on them.
- Coordinates out of range: a geo index holds none, and in-memory mode tests them all the same.
- Whole numbers beyond 2^53 under a range: the server compares doubles, Python compares exactly.
- Rings that cross themselves: the server counts windings, in-memory mode crossings.
- Two tests in one field condition: the server wants one of them, in-memory mode the first.
- `substring`, which in-memory mode does not have.
"""

from __future__ import annotations

import uuid
from random import Random
from typing import Any, Callable

from qdrant_client import models

WORDS = ["red", "green", "Red", "redder", "", "Größe", "a.b", "2024-01-31", "blue"]
SENTENCES = [
    "the quick brown fox", "The QUICK, brown-fox!", "brown quick the", "quick", "", "  ", "fox_trot",
    "été à Paris", "ÉTÉ", "42 foxes", "fox fox", "Größe des fox", "naïve café",
]
QUERIES = [
    "quick", "the fox", "brown fox", "fox brown", "QUICK brown", "", "--", "été", "fox fox",
    "foxes 42", "trot", "nothing here", "größe",
]
PARTS = ["", "re", "red", "Re", "Gr", "the", "The ", "été", "2024-", "quick", "a."]
NUMBERS = [-3, -1, 0, 1, 2, 3, 5, 8, 1_000_000, -2.5, -0.25, 0.0, 0.5, 1.0, 2.0, 3.75, 1e9]
INTEGERS = [-3, -1, 0, 1, 2, 3, 5, 8]
DATES = [
    "2024-01-31", "2024-01-31T00:00:00Z", "2024-01-31T01:00:00+01:00", "2024-01-31 12:30",
    "2024-01-31 12:30:05.25", "2024-02-01T00:00:00", "2023-12-31T23:59:59.999999Z",
    "1969-07-20T20:17:40Z", "2024-01-31T12:30:05.123456789Z", "2024-01-31 12:30:05 UTC",
    "2024-01-31T12:30:05-0330", "2024-01-31T12:30:05+05", " 2024-01-31", "2024-01-31t12:30:05z",
]
NO_DATES = ["2024-13-01", "soon", "2024", "2024-01-31T25:00:00Z", "2024-01-31Z", "31.01.2024"]
VECTORS = ["", "image", "absent"]

PATHS = [
    "word", "number", "text", "when", "place", "mixed", "tags", "tags[]", "tags[0]", "meta",
    "meta.word", "meta.deep.number", "items", "items[].word", "items[].number", "items[].text",
    "items[].when", "items[].place", "items[].list", "items[].sub[].number", "items[0].word",
    "items[1].list[]", '"odd key.x"', "absent", "absent.path", "places", "dates",
]
NESTED = ["items", "items[]", "items[].sub", "items[0].sub[]", "meta", "sub", "sub[]", "absent"]
INSIDE = ["word", "number", "text", "when", "place", "list", "list[]", "sub", "sub[].number", "absent"]
INDEX_FIELDS = [path for path in PATHS if path != "meta"]
INDEX_TYPES = list(models.PayloadSchemaType)


class FilterWorld:
    """What is drawn for one collection."""

    def __init__(self, rng: Random, points: int) -> None:
        self.rng = rng
        self.ids: list[int | str] = [*range(points), 2**63 + 5, 2**64 - 1]
        self.ids += [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(points // 4)]

    # payloads

    def scalar(self) -> Any:
        rng = self.rng
        return rng.choice([
            None, rng.choice([True, False]), rng.choice(NUMBERS), rng.choice(WORDS),
            rng.choice(SENTENCES), rng.choice(DATES), self.place(),
        ])

    def place(self) -> Any:
        """A geo point, or nearly one."""
        rng = self.rng
        if rng.random() < 0.1:
            return rng.choice([{}, {"lon": 1}, {"lon": "1", "lat": 1}, {"lon": True, "lat": 1}, [1, 1]])
        return {"lon": self.degrees(180), "lat": self.degrees(90)}

    def degrees(self, most: int) -> float | int:
        rng = self.rng
        drawn = rng.random()
        if drawn < 0.15:
            return rng.choice([-most, most, most - 0.5, 0.5 - most])
        if drawn < 0.3:
            return rng.uniform(-most, most)
        return rng.randint(-12, 12) / 2

    def some(self, one: Callable[[], Any], odd: bool = True) -> Any:
        """One, several, none, null, or something else."""
        rng = self.rng
        drawn = rng.random()
        if drawn < 0.55:
            return one()
        if drawn < 0.85:
            return [self.scalar() if rng.random() < 0.15 else one() for _ in range(rng.randint(0, 3))]
        if drawn < 0.93 or not odd:
            return None
        return self.scalar()

    def date(self) -> str:
        return self.rng.choice(DATES if self.rng.random() < 0.85 else NO_DATES)

    def fields(self) -> dict[str, Callable[[], Any]]:
        choice = self.rng.choice
        return {
            "word": lambda: self.some(lambda: choice(WORDS)),
            "number": lambda: self.some(lambda: choice(NUMBERS)),
            "text": lambda: self.some(lambda: choice(SENTENCES)),
            "when": lambda: self.some(self.date),
            "place": lambda: self.some(self.place),
        }

    def element(self) -> dict[str, Any]:
        """An object in an array."""
        rng = self.rng
        kinds = self.fields() | {
            "list": lambda: [self.flat() for _ in range(rng.randint(0, 3))],
            "sub": lambda: [
                {"number": rng.choice(NUMBERS), "word": rng.choice(WORDS)}
                for _ in range(rng.randint(0, 2))
            ],
        }
        return {key: draw() for key, draw in kinds.items() if rng.random() < 0.6}

    def flat(self) -> Any:
        """No array."""
        value = self.scalar()
        return None if isinstance(value, list) else value

    def mixed(self) -> Any:
        rng = self.rng
        return rng.choice([
            self.scalar(), [self.scalar(), [self.scalar(), None]], {"a": self.scalar()}, [], [[]],
            [None], {},
        ])

    def payload(self) -> dict[str, Any]:
        rng = self.rng
        kinds = self.fields() | {
            "mixed": self.mixed,
            "tags": lambda: [self.flat() for _ in range(rng.randint(0, 4))],
            "meta": lambda: {"word": rng.choice(WORDS), "deep": {"number": rng.choice(NUMBERS)}},
            "items": lambda: [self.element() for _ in range(rng.randint(0, 3))],
            "odd key.x": self.scalar,
            "places": lambda: [self.place() for _ in range(rng.randint(0, 3))],
            "dates": lambda: [self.date() for _ in range(rng.randint(0, 3))],
        }
        payload = {key: draw() for key, draw in kinds.items() if rng.random() < 0.6}
        if rng.random() < 0.1:
            payload["items"] = rng.choice([None, "text", 7, self.element()])
        return payload

    def vector(self) -> dict[str, list[float]]:
        return {name: [1.0, 0.5] for name in VECTORS[:2] if self.rng.random() < 0.7}

    # filters

    def filter(self, depth: int, paths: list[str] = PATHS) -> models.Filter:
        """A filter that nests `depth` deep at most."""
        rng = self.rng
        clauses: dict[str, Any] = {}
        if rng.random() < 0.35:
            # Alone, a condition is what decides.
            return models.Filter(**{rng.choice(["must", "must", "must_not"]): self.condition(depth, paths)})
        for clause, chance in (("must", 0.5), ("should", 0.45), ("must_not", 0.35)):
            if rng.random() < chance:
                drawn = [self.condition(depth, paths) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
                clauses[clause] = drawn[0] if len(drawn) == 1 and rng.random() < 0.3 else drawn
        if rng.random() < 0.12 or not clauses:
            conditions = [self.condition(depth, paths) for _ in range(rng.randint(1, 4))]
            clauses["min_should"] = models.MinShould(
                conditions=conditions, min_count=rng.randint(1, 3)
            )
        return models.Filter(**clauses)

    def condition(self, depth: int, paths: list[str]) -> Any:
        rng = self.rng
        drawn = rng.random()
        if depth > 1 and drawn < 0.12:
            return self.filter(depth - 1, paths)
        if depth > 1 and drawn < 0.26:
            inside = models.Nested(key=rng.choice(NESTED), filter=self.filter(depth - 1, INSIDE))
            return models.NestedCondition(nested=inside)
        if drawn < 0.32:
            field = models.PayloadField(key=rng.choice(paths))
            return rng.choice([models.IsEmptyCondition(is_empty=field), models.IsNullCondition(is_null=field)])
        if drawn < 0.42:
            return self.about_the_point()
        return models.FieldCondition(key=rng.choice(paths), **self.test())

    def about_the_point(self) -> Any:
        rng = self.rng
        kind = rng.randint(0, 2)
        if kind == 0:
            return models.HasIdCondition(has_id=rng.sample(self.ids, rng.randint(0, len(self.ids) // 2)))
        if kind == 1:
            return models.HasVectorCondition(has_vector=rng.choice(VECTORS))
        total = rng.choice([1, 2, 3, 7, 2**32 - 1])
        return models.SliceCondition(slice=models.Slice(total=total, index=rng.randrange(min(total, 7))))

    def test(self) -> dict[str, Any]:
        """What is asked of a field."""
        rng = self.rng
        return rng.choice([
            self.match_value, self.match_list, self.match_text, self.number_range, self.date_range,
            self.shape, self.count, self.nothing,
        ])()

    def match_value(self) -> dict[str, Any]:
        values = [self.rng.choice(WORDS), self.rng.choice(INTEGERS), self.rng.choice([True, False])]
        return {"match": models.MatchValue(value=self.rng.choice(values))}

    def match_list(self) -> dict[str, Any]:
        rng = self.rng
        values = rng.sample(rng.choice([WORDS, INTEGERS]), rng.randint(0, 4))
        if rng.random() < 0.5:
            return {"match": models.MatchAny(any=values)}
        return {"match": models.MatchExcept(**{"except": values})}

    def match_text(self) -> dict[str, Any]:
        rng = self.rng
        query, part = rng.choice(QUERIES), rng.choice(PARTS)
        return {"match": rng.choice([
            models.MatchText(text=query), models.MatchTextAny(text_any=query),
            models.MatchPhrase(phrase=query), models.MatchPrefix(prefix=part),
        ])}

    def bounds(self, values: list[Any]) -> dict[str, Any]:
        rng = self.rng
        return {name: rng.choice(values) for name in rng.sample(["gt", "gte", "lt", "lte"], rng.choice([1, 1, 2, 2, 3]))}

    def number_range(self) -> dict[str, Any]:
        return {"range": models.Range(**self.bounds(NUMBERS))}

    def date_range(self) -> dict[str, Any]:
        # The client itself reads bounds, and takes fewer forms than servers do.
        return {"range": models.DatetimeRange(**self.bounds(DATES[:8]))}

    def count(self) -> dict[str, Any]:
        return {"values_count": models.ValuesCount(**self.bounds([0, 1, 2, 3]))}

    def nothing(self) -> dict[str, Any]:
        return {self.rng.choice(["is_empty", "is_null"]): self.rng.choice([True, False])}

    def shape(self) -> dict[str, Any]:
        rng = self.rng
        kind = rng.randint(0, 2)
        if kind == 0:
            radius = rng.choice([0.0, 1.0, 60_000.5, 200_000.0, 5e6, 1.5e7, 3e7])
            return {"geo_radius": models.GeoRadius(center=self.corner(), radius=radius)}
        if kind == 1:
            one, other = self.corner(), self.corner()
            if rng.random() < 0.7 and one.lat < other.lat:
                one, other = other, one
            return {"geo_bounding_box": models.GeoBoundingBox(top_left=one, bottom_right=other)}
        holes = [self.ring(4) for _ in range(rng.choice([0, 0, 1, 2]))]
        polygon = models.GeoPolygon(exterior=self.ring(12), interiors=holes or None)
        return {"geo_polygon": polygon}

    def corner(self) -> models.GeoPoint:
        return models.GeoPoint(lon=self.degrees(180), lat=self.degrees(90))

    def ring(self, most: int) -> models.GeoLineString:
        """A triangle or a rectangle, whose edges do not cross."""
        rng = self.rng
        a, b, c = ((rng.randint(-most, most) / 2, rng.randint(-most, most) / 2) for _ in range(3))
        corners = [a, b, c, a] if rng.random() < 0.5 else [a, (b[0], a[1]), b, (a[0], b[1]), a]
        return models.GeoLineString(points=[models.GeoPoint(lon=lon, lat=lat) for lon, lat in corners])
