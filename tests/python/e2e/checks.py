"""Counting checks. A case that fails is reported whole, and the other cases still run."""

from __future__ import annotations

import json
import math
import time
import traceback
from typing import Any, Callable

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from node import Node


class Failed(AssertionError):
    """A check of a case did not hold."""


class Checks:
    """What every case gets: the client, the bare HTTP connection, and the means to judge."""

    def __init__(self, url: str, node: Node | None = None) -> None:
        self.moved(url)
        self.node = node
        self.passed = 0
        self.failures: list[str] = []
        self.case_name = ""
        self.collections = 0

    def moved(self, url: str) -> None:
        """The server is to be found there from now on."""
        self.url = url
        self.client = QdrantClient(url=url, timeout=30)
        self.http = httpx.Client(base_url=url, timeout=30)

    def run(self, case: Callable[["Checks"], None]) -> None:
        self.case_name = f"{case.__module__}.{case.__name__}"
        try:
            case(self)
        except Failed as error:
            self.failures.append(f"{self.case_name}: {error}")
        except Exception:
            self.failures.append(f"{self.case_name}:\n{traceback.format_exc(limit=-6)}")
        finally:
            for name in self.own_collections():
                self.http.delete(f"/collections/{name}")

    def own_collections(self) -> list[str]:
        prefix = self.case_name.rsplit(".", 1)[-1] + "-"
        listed = self.client.get_collections().collections
        return [found.name for found in listed if found.name.startswith(prefix)]

    def fresh(self, **arguments: Any) -> str:
        """A new collection of this case; four-dimensional dot product unless told otherwise."""
        self.collections += 1
        name = f"{self.case_name.rsplit('.', 1)[-1]}-{self.collections}"
        if "vectors_config" not in arguments:
            arguments["vectors_config"] = models.VectorParams(size=4, distance=models.Distance.DOT)
        self.true("create_collection", self.client.create_collection(name, **arguments))
        return name

    def name(self) -> str:
        """A name for a collection of this case that does not exist yet."""
        self.collections += 1
        return f"{self.case_name.rsplit('.', 1)[-1]}-{self.collections}"

    # judging

    def true(self, what: str, condition: bool) -> None:
        if not condition:
            raise Failed(what)
        self.passed += 1

    def equal(self, what: str, got: Any, want: Any) -> None:
        if got != want or isinstance(got, bool) != isinstance(want, bool):
            raise Failed(f"{what}: {got!r}, should be {want!r}")
        self.passed += 1

    def close(self, what: str, got: list[float], want: list[float], tolerance: float) -> None:
        near = len(got) == len(want) and all(
            math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance) for a, b in zip(got, want)
        )
        if not near:
            raise Failed(f"{what}: {got}, should be {want}")
        self.passed += 1

    def refused(self, what: str, call: Callable[[], Any], status: int, *texts: str) -> None:
        """The client call fails with this status and all these texts in the error."""
        try:
            answer = call()
        except UnexpectedResponse as error:
            self.refusal(what, error.status_code, error.content, status, texts)
            return
        raise Failed(f"{what}: accepted with {answer!r}, should be refused with {status}")

    def raw_refused(self, what: str, answer: httpx.Response, status: int, *texts: str) -> None:
        """As `refused`, for a bare HTTP answer."""
        self.refusal(what, answer.status_code, answer.content, status, texts)

    def refusal(
        self, what: str, got: int | None, content: bytes, status: int, texts: tuple[str, ...]
    ) -> None:
        text = content.decode(errors="replace")
        if got != status:
            raise Failed(f"{what}: status {got}, should be {status}: {text[:500]}")
        try:
            body = json.loads(text)
        except ValueError:
            raise Failed(f"{what}: the answer is not JSON: {text[:500]}") from None
        said = (body.get("status") or {}).get("error") if isinstance(body, dict) else None
        if not isinstance(said, str) or "result" in body and body["result"] is not None:
            raise Failed(f"{what}: not an error envelope: {text[:500]}")
        if not isinstance(body.get("time"), (int, float)):
            raise Failed(f"{what}: no time in the envelope: {text[:500]}")
        for wanted in texts:
            if wanted not in said:
                raise Failed(f"{what}: says {said!r}, should have {wanted!r}")
        self.passed += 1

    def result(self, what: str, answer: httpx.Response) -> Any:
        """The result of a bare HTTP answer, its envelope checked."""
        if answer.status_code != 200:
            raise Failed(f"{what}: status {answer.status_code}: {answer.text[:500]}")
        body = answer.json()
        self.equal(f"{what}: status", body.get("status"), "ok")
        self.true(f"{what}: time", isinstance(body.get("time"), float))
        return body["result"]

    def completed(self, what: str, update: models.UpdateResult) -> None:
        self.equal(what, update.status, models.UpdateStatus.COMPLETED)

    def eventually(self, what: str, condition: Callable[[], bool], seconds: float = 20) -> None:
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                raise Failed(f"{what}: not within {seconds} s")
            time.sleep(0.02)
        self.passed += 1

    # looking

    def ids(self, points: list[Any]) -> list[Any]:
        return [point.id for point in points]

    def payload(self, collection: str, id_: Any) -> Any:
        found = self.client.retrieve(collection, [id_])
        return found[0].payload if found else None

    def vector(self, collection: str, id_: Any) -> Any:
        found = self.client.retrieve(collection, [id_], with_vectors=True)
        return found[0].vector if found else None
