"""The asynchronous client, and many requests at once."""

from __future__ import annotations

import asyncio

from qdrant_client import AsyncQdrantClient, models

from e2e.checks import Checks


def async_client(t: Checks) -> None:
    name = t.name()

    async def work() -> None:
        client = AsyncQdrantClient(url=t.url, timeout=30)
        t.equal("create", await client.create_collection(
            name, models.VectorParams(size=8, distance=models.Distance.COSINE)), True)
        await asyncio.gather(*(
            client.upsert(name, [
                models.PointStruct(id=part * 50 + n, vector=[float(n + 1)] * 7 + [float(part)],
                                   payload={"part": part})
                for n in range(50)
            ])
            for part in range(20)
        ))
        t.equal("all batches", (await client.count(name)).count, 1_000)
        answers = await asyncio.gather(*(
            client.query_points(
                name, query=[1.0] * 8, limit=5, query_filter=models.Filter(must=[
                    models.FieldCondition(key="part", match=models.MatchValue(value=part))
                ]),
            )
            for part in range(20)
        ))
        for part, answer in enumerate(answers):
            ids = [hit.id for hit in answer.points]
            t.equal(f"part {part}", [id_ // 50 for id_ in ids], [part] * 5)
        page, rest = await client.scroll(name, limit=3)
        t.equal("scroll", ([r.id for r in page], rest), ([0, 1, 2], 3))
        await client.delete(name, points_selector=models.FilterSelector(filter=models.Filter(
            must=[models.FieldCondition(key="part", range=models.Range(lt=19))])))
        t.equal("delete", (await client.count(name)).count, 50)
        await client.close()

    asyncio.run(work())


CASES = [async_client]
