"""Cloning in a running daemon: (a) one funnel against the bare copies and inserts of it, (b) a hundred of several
accounts against one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from statistics import median
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bson import ObjectId

from bench.program import environment, running_daemon
from bench.row import Row
from pipeline_engine import settings
from pipeline_engine.app import open_mongo
from pipeline_engine.providers.from_settings import storage_of
from pipeline_engine.providers.storage import Storage
from tests.support.funnels import Original, assert_whole, new_clone
from tests.support.world import World

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

STEPS, SHARED, OWN, FORMS = 10, 10, 4, 3
IMAGES = SHARED + STEPS * OWN
IMAGE_BYTES = 30_000
PAGE_CHARACTERS = 100_000
COPIES = 5
ROUNDS = 7
REST = 0.5
"""Seconds after which the last clone's wake of sweeps is over: clones are asked for one by one."""
MANY, ACCOUNTS = 100, 10
FILL = (
    '<section class="card" style="margin:0;color:#ffaa00"><h2>Feed &amp; care</h2><p>Lorem ipsum dolor sit amet, '
    'consetetur sadipscing elitr</p><a href="https://example.com/?a=b&amp;c=d%20e">more</a></section>\n'
)

Document = dict[str, Any]


def run(servers: Mapping[str, str]) -> list[Row]:
    return [_one(servers), _many(servers)]


def _one(servers: Mapping[str, str]) -> Row:
    configured = environment(servers, "bench_clone")
    world = World(configured)
    originals = [_original(world) for _ in range(ROUNDS + 1)]
    warm, new, floors = [], [], []
    with running_daemon(configured):
        _cloned(world, [originals[-1]])
        for original in originals[:ROUNDS]:
            floors.append(asyncio.run(_floor(configured, originals[-1])))
            warm.append(_cloned(world, [originals[-1]]))
            new.append(_cloned(world, [original]))
    world.close()
    ratios = sorted(one / other for one, other in zip(warm, floors, strict=True))
    first = median(new)
    return Row(
        f"clone of a funnel with {STEPS} pages of {PAGE_CHARACTERS // 1000} KB and as much of components, {IMAGES} "
        f"images, {FORMS} forms",
        f"{median(warm) * 1000:.0f} ms",
        f"{median(floors) * 1000:.0f} ms: bare loop, the same copies ({COPIES} at a time), str.replace per "
        "reference and one insert_many per collection",
        f"{median(ratios):.2f}",
        "≤ 2",
        f"from the flag to the end, not the funnel's first clone: that takes {first * 1000:.0f} ms "
        f"({first / median(floors):.2f}), for its images are not known yet; ratios of {ROUNDS} rounds: "
        f"{', '.join(f'{one:.2f}' for one in ratios)}",
    )


def _many(servers: Mapping[str, str]) -> Row:
    configured = environment(servers, "bench_clones")
    originals = [_original(World(configured)) for _ in range(ACCOUNTS)]
    world = originals[0].world
    with running_daemon(configured):
        _cloned(world, originals)
        alone = median(_cloned(world, [original]) for original in originals[:ROUNDS])
        seconds = _cloned(world, originals * (MANY // ACCOUNTS))
    for original in originals:
        original.world.close()
    return Row(
        f"{MANY} such funnels of {ACCOUNTS} accounts, asked for at once",
        f"{MANY / seconds * 60:.0f} clones a minute",
        f"{60 / alone:.0f} a minute: one after the other",
        f"{alone * MANY / seconds:.2f}",
        "≥ 1",
        f"{seconds:.1f} s for {MANY}, {alone * 1000:.0f} ms for one: {seconds / alone:.0f} times as long",
    )


def _original(world: World) -> Original:
    original = Original(world, steps=STEPS, chat=False)
    world.db["sites_images"].delete_many({"ref_id": original.id})
    shared = [original.image(f"shared {n}.png", _image()) for n in range(SHARED)]
    forms = [original.add_form(f"Form {n}") for n in range(FORMS)]
    for n in range(STEPS):
        images = [*shared, *(original.image(f"photo {n} {m}.png", _image()) for m in range(OWN))]
        links = f'<a href="/f/{original.id}/s/{original.steps[(n + 1) % STEPS]}">next</a>'
        tags = "".join(f'<img src="https://s3.example/crm/{key}">' for key in images)
        frames = "".join(f'<iframe src="https://crm.example/userform/{form}"></iframe>' for form in forms)
        page = links + tags + frames
        page += FILL * ((PAGE_CHARACTERS - len(page)) // len(FILL))
        original.write(n, page, json.dumps({"blocks": [{"html": page}]}))
    return original


def _image() -> bytes:
    return uuid4().bytes * (IMAGE_BYTES // 16)


def _cloned(world: World, originals: Sequence[Original]) -> float:
    """Seconds from asking for clones to the end of the last."""
    time.sleep(REST)
    began = time.perf_counter()
    ids = [new_clone(original.world, original) for original in originals]
    ended = {"_id": {"$in": ids}, "clone.finished_at": {"$ne": None}}
    while world.db["funnels"].count_documents(ended) < len(ids):
        time.sleep(0.005)
        assert time.perf_counter() - began < 300, "it does not end"
    seconds = time.perf_counter() - began
    assert_whole(world, ids[-1], originals[-1])
    return seconds


async def _floor(environment: Mapping[str, str], original: Original) -> float:
    """Seconds of what no copy can do without: read the documents, copy the objects, replace the plain references,
    write the documents."""
    configured = settings.from_environment(environment)
    async with AsyncExitStack() as stack:
        database = await open_mongo(configured, stack)
        storage = await stack.enter_async_context(storage_of(configured))
        await asyncio.gather(*(storage.head(f"{n}") for n in range(COPIES)), return_exceptions=True)  # connects
        began = time.perf_counter()
        await _copied(database, storage, original.id)
        return time.perf_counter() - began


async def _copied(database: AsyncIOMotorDatabase[Document], storage: Storage, source: ObjectId) -> None:
    gate, s3, bucket = asyncio.Semaphore(COPIES), storage._client, storage.bucket
    assert s3

    async def copy(image: Document) -> Document:
        key = f"{uuid4()}/{image['fileName']}"
        async with gate:
            await s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": image["key"]})
        return {**image, "key": key}

    funnel = ObjectId()
    images = await database["sites_images"].find({"ref_id": source}).to_list(None)
    copies = await asyncio.gather(*map(copy, images))
    new = {str(source): str(funnel)} | {old["key"]: one["key"] for old, one in zip(images, copies, strict=True)}
    for name, field in (("funnel.step", "raw_html"), ("funnel.step.components", "components")):
        found = await database[name].find({"funnel_id": source}).to_list(None)
        new |= {str(one["_id"]): str(ObjectId()) for one in found if name == "funnel.step"}
        texts = [_replaced(one[field], new) for one in found]
        changed = zip(found, texts, strict=True)
        await database[f"floor.{name}"].insert_many(
            [{**one, "_id": ObjectId(), "funnel_id": funnel, field: text} for one, text in changed]
        )
    await database["floor.images"].insert_many([{**one, "_id": ObjectId(), "ref_id": funnel} for one in copies])
    await database["floor.forms"].insert_many([{"funnel_id": funnel, "fields": []} for _ in range(FORMS)])


def _replaced(text: str, new: Mapping[str, str]) -> str:
    for one, other in new.items():
        text = text.replace(one, other)
    return text
