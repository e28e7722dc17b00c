"""Copies within the bucket: what came out is what went in, or there is an error that says which kind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pipeline_engine.domain.funnels.images import ObjectCopier
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.storage import Storage
from pipeline_engine.providers.storage_errors import ObjectMissing
from pipeline_engine.providers.storage_upload import PART_BYTES
from tests.support.stand_ins.s3_copy import WELL, S3Copy

BROKEN = "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
MULTIPART = "9f86d081884c7d659a2feaa0c55ad015-3"


@pytest.fixture
async def storage(servers: dict[str, str]) -> AsyncIterator[Storage]:
    opened = Storage(
        endpoint=servers["S3_ENDPOINT_URL"],
        region=servers["S3_REGION"],
        key_id=servers["S3_ACCESS_KEY_ID"],
        secret=servers["S3_SECRET_ACCESS_KEY"],
        bucket=servers["S3_BUCKET"],
    )
    async with opened as storage:
        yield storage


def at(s3: S3Copy) -> Storage:
    return Storage(endpoint=s3.url, region="us-east-1", key_id="id", secret="secret", bucket=s3.bucket)


async def blocks_of(body: bytes) -> AsyncIterator[bytes]:
    yield body


@pytest.mark.parametrize("size", [0, 5, PART_BYTES + 7])
@pytest.mark.covers("FC-14")
async def test_the_copy_has_the_bytes_and_the_type_of_its_source(storage: Storage, key_prefix: str, size: int) -> None:
    source, target, body = f"{key_prefix}süß & +(1).png", f"{key_prefix}u/süß & +(1).png", b"x" * size
    await storage.put_stream(source, blocks_of(body), "image/png")
    for _ in range(2):  # a repeat overwrites itself
        info = await storage.copy(source, target)
        assert (info.key, info.size) == (target, size)
        assert await storage.read(target) == body
        assert await storage.read(source) == body
    assert storage._client
    head = await storage._client.head_object(Bucket=storage.bucket, Key=target)
    assert head["ContentType"] == "image/png"


async def test_a_source_that_is_gone_is_named_and_leaves_nothing(storage: Storage, key_prefix: str) -> None:
    with pytest.raises(ObjectMissing) as missing:
        await storage.copy(f"{key_prefix}none", f"{key_prefix}new")
    assert missing.value.key == f"{key_prefix}none"
    assert [info async for info in storage.list(key_prefix)] == []


async def test_bad_keys_never_reach_the_server(storage: Storage, key_prefix: str) -> None:
    await storage.put_stream(f"{key_prefix}a", blocks_of(b"x"))
    for source, target in (("../a", f"{key_prefix}b"), (f"{key_prefix}a", "../b")):
        with pytest.raises(Permanent, match="not an acceptable S3 key"):
            await storage.copy(source, target)


async def test_an_error_inside_an_answer_of_200_is_seen_and_passes(key_prefix: str) -> None:
    objects = {"a": (5, "aa")}
    async with S3Copy(dict(objects), [BROKEN] * 10) as s3, at(s3) as storage:
        with pytest.raises(Transient):
            await storage.copy("a", "b")
    async with S3Copy(dict(objects), [BROKEN]) as s3, at(s3) as storage:
        assert (await storage.copy("a", "b")).size == 5
        assert s3.copies == 2


@pytest.mark.parametrize("there", [(4, "bb"), (5, "bb"), (4, MULTIPART)])
async def test_what_is_not_the_same_as_its_source_does_not_count_as_copied(there: tuple[int, str]) -> None:
    async with S3Copy({"a": (5, "aa"), "b": there}, [WELL.format(etag=there[1])]) as s3, at(s3) as storage:
        with pytest.raises(Transient, match="did not copy 'a' as it is"):
            await storage.copy("a", "b")


async def test_an_object_that_went_up_in_parts_is_compared_by_size() -> None:
    async with S3Copy({"a": (5, MULTIPART), "b": (5, "bb")}, [WELL.format(etag="bb")]) as s3, at(s3) as storage:
        assert (await storage.copy("a", "b")).etag == '"bb"'


@pytest.mark.parametrize("answer", [WELL.format(etag="aa"), "<CopyObjectResult><ETag>aa</ETag></CopyObjectResult>"])
async def test_the_same_etag_in_the_answer_is_proof_enough(answer: str) -> None:
    async with S3Copy({"a": (5, "aa")}, [answer]) as s3, at(s3) as storage:
        assert (await storage.copy("a", "b")).etag == '"aa"'
        assert s3.heads == 1


async def test_a_source_that_is_known_is_not_asked_for_unless_it_has_changed() -> None:
    async with S3Copy({"a": (5, "aa")}) as s3, at(s3) as storage:
        known = await storage.head("a")
        assert (await storage.copy("a", "b", known)).size == 5
        assert s3.heads == 1
        s3.objects["a"] = (7, "cc")
        copied = await storage.copy("a", "b", known)
        assert (copied.size, copied.etag) == (7, '"cc"')
        assert s3.heads == 3


async def test_a_known_source_does_not_hide_a_bad_copy() -> None:
    async with S3Copy({"a": (5, "aa"), "b": (4, "bb")}, [WELL.format(etag="bb")]) as s3, at(s3) as storage:
        known = await storage.head("a")
        with pytest.raises(Transient, match="did not copy 'a' as it is"):
            await storage.copy("a", "b", known)
        s3.answers += [BROKEN] * 10
        with pytest.raises(Transient):
            await storage.copy("a", "b", known)


async def test_a_source_that_went_up_in_parts_is_compared_once() -> None:
    copied = WELL.format(etag="bb")
    objects = {"a": (5, MULTIPART), "b": (5, "bb"), "c": (5, "bb")}
    async with S3Copy(objects, [copied, copied]) as s3, at(s3) as storage:
        copies = ObjectCopier(max_concurrent=1)
        await copies.copy(storage, "a", "b", token=1)
        assert s3.heads == 2
        await copies.copy(storage, "a", "c", token=1)
        assert (s3.heads, s3.copies) == (2, 2)


async def test_a_known_source_that_is_gone_is_named(storage: Storage, key_prefix: str) -> None:
    await storage.put_stream(f"{key_prefix}a", blocks_of(b"x"))
    known = await storage.head(f"{key_prefix}a")
    await storage.delete(f"{key_prefix}a")
    with pytest.raises(ObjectMissing) as missing:
        await storage.copy(f"{key_prefix}a", f"{key_prefix}b", known)
    assert missing.value.key == f"{key_prefix}a"
