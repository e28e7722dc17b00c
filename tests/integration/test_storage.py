from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from pipeline_engine import failpoints
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.storage import BLOCK_BYTES, Storage
from pipeline_engine.providers.storage_errors import ObjectChanged, ObjectMissing
from pipeline_engine.providers.storage_object import ObjectInfo
from pipeline_engine.providers.storage_upload import PART_BYTES

MB = 1024 * 1024


def bytes_of(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311


async def blocks_of(body: bytes, size: int = 300_000) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


def opened(servers: dict[str, str], **other: Any) -> Storage:
    given = {
        "endpoint": servers["S3_ENDPOINT_URL"],
        "region": servers["S3_REGION"],
        "key_id": servers["S3_ACCESS_KEY_ID"],
        "secret": servers["S3_SECRET_ACCESS_KEY"],
        "bucket": servers["S3_BUCKET"],
    }
    return Storage(**{**given, **other})


@pytest.fixture
async def storage(servers: dict[str, str]) -> AsyncIterator[Storage]:
    async with opened(servers) as storage:
        yield storage


async def unfinished(storage: Storage, prefix: str) -> list[str]:
    """Keys with an upload that was begun and neither completed nor aborted."""
    assert storage._client
    found = await storage._client.list_multipart_uploads(Bucket=storage.bucket, Prefix=prefix)
    return [upload["Key"] for upload in found.get("Uploads", [])]


async def begin_upload(storage: Storage, key: str) -> None:
    assert storage._client
    await storage._client.create_multipart_upload(Bucket=storage.bucket, Key=key)


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 12 * MB])
async def test_what_was_put_is_what_is_read(storage: Storage, key_prefix: str, size: int) -> None:
    key, body = f"{key_prefix}Übersicht + 1.csv", bytes_of(size)
    put = await storage.put_stream(key, blocks_of(body), "text/csv")
    assert put == await storage.head(key)
    assert put.size == size
    assert await storage.read(key) == body
    assert await unfinished(storage, key_prefix) == []


async def test_put_replaces_and_the_etag_shows_it(storage: Storage, key_prefix: str) -> None:
    key = f"{key_prefix}a"
    first = await storage.put_stream(key, blocks_of(b"one"))
    second = await storage.put_stream(key, blocks_of(b"two"))
    assert first.etag != second.etag
    assert await storage.read(key) == b"two"


async def test_ranges_leave_out_their_end_and_stop_at_the_end_of_the_object(storage: Storage, key_prefix: str) -> None:
    key = f"{key_prefix}a"
    info = await storage.put_stream(key, blocks_of(b"0123456789"))
    assert await storage.read(key, 2, 5, info.etag) == b"234"
    assert await storage.read(key, 0, 1) == b"0"
    assert await storage.read(key, 7) == b"789"
    assert await storage.read(key, 7, 100) == b"789"
    assert await storage.read(key, 4, 4) == b""
    with pytest.raises(Permanent):
        await storage.read(key, 10, 20)


async def test_blocks_are_bounded(storage: Storage, key_prefix: str) -> None:
    body = bytes_of(3 * MB)
    await storage.put_stream(f"{key_prefix}a", blocks_of(body))
    blocks = [block async for block in storage.stream(f"{key_prefix}a")]
    assert max(map(len, blocks)) <= BLOCK_BYTES
    assert min(map(len, blocks)) > 0
    assert b"".join(blocks) == body


async def test_streams_that_are_left_early_give_their_connections_back(storage: Storage, key_prefix: str) -> None:
    await storage.put_stream(f"{key_prefix}a", blocks_of(bytes_of(4 * MB)))

    async def begin() -> AsyncGenerator[bytes, None]:
        stream = storage.stream(f"{key_prefix}a")
        await anext(stream)
        return stream

    for _ in range(40):  # more than there are connections
        async with asyncio.timeout(10):
            await (await begin()).aclose()
    assert len(await storage.read(f"{key_prefix}a")) == 4 * MB


async def test_a_missing_object_is_named(storage: Storage, key_prefix: str) -> None:
    for call in (storage.head, storage.read):
        with pytest.raises(ObjectMissing) as missing:
            await call(f"{key_prefix}none")
        assert missing.value.key == f"{key_prefix}none"
        assert missing.value.code == "object_missing"


async def test_an_object_that_was_replaced_is_not_read_as_the_old_one(storage: Storage, key_prefix: str) -> None:
    key = f"{key_prefix}a"
    old = await storage.put_stream(key, blocks_of(b"old"))
    await storage.put_stream(key, blocks_of(b"new"))
    with pytest.raises(ObjectChanged):
        await storage.read(key, 0, 3, old.etag)


async def test_delete_is_done_once_however_often(storage: Storage, key_prefix: str) -> None:
    key = f"{key_prefix}a"
    await storage.put_stream(key, blocks_of(b"x"))
    await storage.delete(key)
    await storage.delete(key)
    with pytest.raises(ObjectMissing):
        await storage.head(key)


@pytest.mark.slow
async def test_list_gives_every_page_in_order(storage: Storage, key_prefix: str) -> None:
    names = [f"{key_prefix}many/{number:04}" for number in range(1010)]  # S3 gives 1,000 at a time
    places = asyncio.Semaphore(30)

    async def put(name: str) -> None:
        async with places:
            await storage.put_stream(name, blocks_of(b"x"))

    await asyncio.gather(put(f"{key_prefix}elsewhere"), *map(put, names))
    found = [info async for info in storage.list(f"{key_prefix}many/")]
    assert [info.key for info in found] == names
    assert found[0] == ObjectInfo(names[0], 1, (await storage.head(names[0])).etag)
    assert [info async for info in storage.list(f"{key_prefix}none")] == []


async def test_bad_keys_never_reach_the_server(storage: Storage) -> None:
    for refused in (
        storage.head("../x"),
        storage.read("../x"),
        storage.delete("../x"),
        storage.put_stream("../x", blocks_of(b"x")),
    ):
        with pytest.raises(Permanent, match="not an acceptable S3 key"):
            await refused


async def test_a_source_that_fails_leaves_nothing_behind(storage: Storage, key_prefix: str) -> None:
    async def broken(size: int) -> AsyncIterator[bytes]:
        async for block in blocks_of(bytes_of(size)):
            yield block
        raise ZeroDivisionError

    for name, size in (("small", 100), ("large", 11 * MB)):
        with pytest.raises(ZeroDivisionError):
            await storage.put_stream(f"{key_prefix}{name}", broken(size))
    assert [info async for info in storage.list(key_prefix)] == []
    assert await unfinished(storage, key_prefix) == []


async def test_a_cancelled_put_leaves_nothing_behind(storage: Storage, key_prefix: str) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes_of(6 * MB)
        yield bytes_of(6 * MB)
        begun.set()  # asked for more, so a part is up
        await asyncio.Event().wait()

    put = asyncio.create_task(storage.put_stream(f"{key_prefix}a", endless()))
    await begun.wait()
    assert await unfinished(storage, key_prefix) == [f"{key_prefix}a"]
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    assert await unfinished(storage, key_prefix) == []
    assert [info async for info in storage.list(key_prefix)] == []


async def test_a_put_clears_what_a_killed_one_left_and_nothing_else(storage: Storage, key_prefix: str) -> None:
    await begin_upload(storage, f"{key_prefix}a")
    await begin_upload(storage, f"{key_prefix}a-neighbour")
    await storage.put_stream(f"{key_prefix}a", blocks_of(bytes_of(6 * MB)))
    assert await unfinished(storage, key_prefix) == [f"{key_prefix}a-neighbour"]


@pytest.mark.parametrize("verb", ["upload_begin", "upload_part", "upload_complete"])
async def test_an_answer_lost_in_an_upload_is_transient_and_leaves_nothing_unfinished(
    storage: Storage, key_prefix: str, verb: str
) -> None:
    key, body = f"{key_prefix}a", bytes_of(11 * MB)
    failpoints.arm(f'{{"failpoint": "s3.{verb}", "do": "raise", "when": "after"}}', None)
    try:
        with pytest.raises(Transient):
            await storage.put_stream(key, blocks_of(body))
    finally:
        failpoints.disarm()
    await storage.put_stream(key, blocks_of(body))
    assert await storage.read(key) == body
    assert await unfinished(storage, key_prefix) == []


async def test_a_newer_upload_of_the_same_key_stops_an_older_one(storage: Storage, key_prefix: str) -> None:
    key, begun, go_on = f"{key_prefix}a", asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes_of(6 * MB, seed=1)
        yield bytes_of(6 * MB, seed=1)
        begun.set()
        await go_on.wait()
        yield bytes_of(6 * MB, seed=1)

    old = asyncio.create_task(storage.put_stream(key, slow()))
    await begun.wait()
    await storage.put_stream(key, blocks_of(bytes_of(6 * MB, seed=2)))
    go_on.set()
    with pytest.raises(Transient):
        await old
    assert await storage.read(key) == bytes_of(6 * MB, seed=2)


async def test_check_says_what_is_wrong_without_the_secret(servers: dict[str, str], storage: Storage) -> None:
    await storage.check()
    for other, code in (
        ({"bucket": "no-such-bucket"}, "no_bucket"),
        ({"secret": "a-wrong-secret-0123456789"}, "storage_denied"),
        ({"key_id": "nobody"}, "storage_denied"),
        ({"key_id": None}, "storage_unset"),
        ({"secret": ""}, "storage_unset"),
    ):
        async with opened(servers, **other) as wrong:
            with pytest.raises(Permanent) as refused:
                await wrong.check()
        assert refused.value.code == code
        assert "S3_" in str(refused.value)
        assert "a-wrong-secret" not in str(refused.value)
        assert servers["S3_SECRET_ACCESS_KEY"] not in str(refused.value)
