"""What is true: the client's in-memory mode, put right where it is known not to be the server.

Every known divergence of `QdrantClient(":memory:")` (qdrant-client 1.19.1) from the server, each
handled at the place named here and nowhere else. Nothing is skipped because of them.

1. A request that names an absent id. In-memory mode changes the other points, then raises; so does
   Qdrant, which answers 404. Cairn's requests are atomic: 404, and nothing has changed. `attempt`
   restores the state from before.
2. `update_mode`. In-memory mode counts a deleted id as an existing point, and points/batch forgets
   the mode. `upsert` chooses the points by what is alive; `batch_update_points` goes through it.
3. uint8 with cosine. In-memory mode stores unit vectors of floats; the server stores the integers
   as given. `vector_of` in compare.py compares directions instead of values for these.
4. `set_payload` with a null. The server takes the key away; in-memory mode stores the null.
   `set_payload` merges as the server does (`merge`).
5. `update_mode` or `update_filter` together with an id that occurs twice in one request is not
   drawn: no document says which one stands.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse
from qdrant_client.local.json_path_parser import JsonPathItem, JsonPathItemType, parse_json_path
from qdrant_client.local.local_collection import LocalCollection

EVERYTHING = 1_000_000

# What in-memory mode and the client raise for a request that the server refuses.
REFUSALS = (ValueError, KeyError, UnexpectedResponse)


class Oracle:
    """In-memory mode with the divergences above put right."""

    def __init__(self, collection: str, arguments: dict[str, Any]) -> None:
        self.client = QdrantClient(":memory:")
        self.name = collection
        self.client.create_collection(collection, **arguments)

    @property
    def collection(self) -> LocalCollection:
        return self.client._client.collections[self.name]

    def live_ids(self) -> list[int | str]:
        """Ids of all points, in no particular order."""
        held = self.collection
        return [id_ for id_, row in held.ids.items() if not held.deleted[row]]

    def state(self) -> LocalCollection:
        """A copy of everything, for `restore`."""
        return deepcopy(self.collection)

    def restore(self, state: LocalCollection) -> None:
        self.client._client.collections[self.name] = state

    def attempt(self, method: str, arguments: dict[str, Any]) -> Exception | None:
        """Does a write whole or not at all; says why not."""
        before = self.state()
        try:
            self.write(method, arguments)
        except REFUSALS as refusal:
            self.restore(before)
            return refusal
        return None

    def write(self, method: str, arguments: dict[str, Any]) -> None:
        if method == "upsert":
            self.upsert(**deepcopy(arguments))
        elif method == "set_payload":
            self.set_payload(**deepcopy(arguments))
        elif method == "batch_update_points":
            self.batch_update_points(**deepcopy(arguments))
        else:
            getattr(self.client, method)(self.name, **deepcopy(arguments))

    def upsert(
        self,
        points: Any,
        update_filter: models.Filter | None = None,
        update_mode: models.UpdateMode | None = None,
    ) -> None:
        structs = LocalCollection._materialize_points(points)
        if update_mode in (models.UpdateMode.INSERT_ONLY, models.UpdateMode.UPDATE_ONLY):
            live = set(self.live_ids())
            wanted = update_mode == models.UpdateMode.UPDATE_ONLY
            structs = [point for point in structs if (point.id in live) == wanted]
        if structs:
            self.client.upsert(self.name, structs, update_filter=update_filter)

    def batch_update_points(self, update_operations: list[Any]) -> None:
        held = self.collection
        for operation in update_operations:
            held._validate_update_operation(operation)
        for operation in update_operations:
            if isinstance(operation, models.UpsertOperation):
                body = operation.upsert
                points = body.batch if isinstance(body, models.PointsBatch) else body.points
                self.upsert(points, body.update_filter, body.update_mode)
            elif isinstance(operation, models.SetPayloadOperation):
                body = operation.set_payload
                self.set_payload(body.payload, body.points or body.filter, body.key)
            else:
                held.batch_update_points([operation])

    def set_payload(self, payload: dict[str, Any], points: Any, key: str | None = None) -> None:
        held = self.collection
        path = parse_json_path(key) if key is not None else []
        missing = []
        for id_ in held._selector_to_ids(points):
            row = held._existing_idx(id_)
            if row is None:
                missing.append(id_)
            else:
                held.payload[row] = merged(held.payload[row], path, payload)
        if missing:
            raise KeyError(missing[0])


def merged(value: Any, path: list[JsonPathItem], payload: dict[str, Any]) -> Any:
    """`value` with `payload` set at `path`, made on the way where it is missing."""
    if not path:
        old = value if isinstance(value, dict) else {}
        kept = {key: item for key, item in old.items() if payload.get(key, 0) is not None}
        added = {key: item for key, item in payload.items() if item is not None}
        return kept | deepcopy(added)
    head, rest = path[0], path[1:]
    if head.item_type == JsonPathItemType.KEY:
        found = value if isinstance(value, dict) else {}
        return found | {head.key: merged(found.get(head.key), rest, payload)}
    if not isinstance(value, list):
        return []
    every = head.item_type == JsonPathItemType.WILDCARD_INDEX
    return [
        merged(item, rest, payload) if every or at == head.index else item
        for at, item in enumerate(value)
    ]
