"""Copies in parts, and what copies keep: metadata, storage class and access rights."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from pipeline_engine import failpoints
from pipeline_engine.errors import Transient
from pipeline_engine.providers.storage import Storage
from pipeline_engine.providers.storage_copy import MAX_PARTS, PUBLIC, ranges, rights_of
from pipeline_engine.providers.storage_errors import ObjectMissing
from pipeline_engine.providers.storage_object import ObjectInfo
from tests.support.s3_gateway import S3Gateway

MB = 1024 * 1024
PART = 5 * MB
SIZE = 11 * MB
METADATA: dict[str, Any] = {
    "ContentType": "image/png",
    "CacheControl": "max-age=31536000",
    "ContentDisposition": 'inline; filename="a.png"',
    "ContentEncoding": "identity",
    "Metadata": {"owner": "ada", "note": "x y"},
}
PUBLIC_READ = f"""<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>me</ID></Owner>
<AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group">
<URI>{PUBLIC}</URI></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>"""
OWNER = {"Grantee": {"Type": "CanonicalUser", "ID": "me"}, "Permission": "FULL_CONTROL"}


def opened(servers: dict[str, str], **other: Any) -> Storage:
    given: dict[str, Any] = {
        "endpoint": servers["S3_ENDPOINT_URL"],
        "region": servers["S3_REGION"],
        "key_id": servers["S3_ACCESS_KEY_ID"],
        "secret": servers["S3_SECRET_ACCESS_KEY"],
        "bucket": servers["S3_BUCKET"],
    }
    return Storage(**{**given, "max_simple_copy": PART, "copy_part": PART, **other})


@pytest.fixture
async def storage(servers: dict[str, str]) -> AsyncIterator[Storage]:
    async with opened(servers) as storage:
        yield storage


async def put(storage: Storage, key: str, size: int, **options: Any) -> bytes:
    assert storage._client
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    await storage._client.put_object(Bucket=storage.bucket, Key=key, Body=body, **options)
    return body


async def unfinished(storage: Storage, prefix: str) -> list[str]:
    assert storage._client
    found = await storage._client.list_multipart_uploads(Bucket=storage.bucket, Prefix=prefix)
    return [upload["Key"] for upload in found.get("Uploads", [])]


async def head(storage: Storage, key: str) -> Any:
    assert storage._client
    return await storage._client.head_object(Bucket=storage.bucket, Key=key)


@pytest.mark.parametrize("size", [100, SIZE], ids=["at once", "in parts"])
async def test_a_copy_has_bytes_metadata_and_class_of_its_source(storage: Storage, key_prefix: str, size: int) -> None:
    source, target = f"{key_prefix}süß & +(1).png", f"{key_prefix}u/süß & +(1).png"
    body = await put(storage, source, size, StorageClass="STANDARD_IA", **METADATA)

    for known in (None, ObjectInfo(source, size, '"old"')):  # a repeat overwrites itself
        info = await storage.copy(source, target, known)
        assert (info.key, info.size) == (target, size)
        there = await head(storage, target)
        assert {name: there.get(name) for name in METADATA} == METADATA
        assert await storage.read(target) == body
        if known is None:
            assert there.get("StorageClass") == (await head(storage, source)).get("StorageClass") == "STANDARD_IA"
    assert await unfinished(storage, key_prefix) == []


@pytest.mark.parametrize("verb", ["upload_begin", "upload_copy", "upload_complete"])
async def test_an_answer_lost_in_a_copy_is_transient_and_leaves_nothing_unfinished(
    storage: Storage, key_prefix: str, verb: str
) -> None:
    source, target = f"{key_prefix}a", f"{key_prefix}b"
    body = await put(storage, source, SIZE)
    failpoints.arm(f'{{"failpoint": "s3.{verb}", "do": "raise", "when": "after"}}', None)
    try:
        with pytest.raises(Transient):
            await storage.copy(source, target)
    finally:
        failpoints.disarm()
    assert verb == "upload_begin" or await unfinished(storage, key_prefix) == []
    await storage.copy(source, target)
    assert await storage.read(target) == body
    assert await unfinished(storage, key_prefix) == []


async def test_a_copy_clears_what_a_killed_process_left_and_nothing_else(storage: Storage, key_prefix: str) -> None:
    assert storage._client
    await put(storage, f"{key_prefix}a", SIZE)
    for key in ("b", "b-neighbour"):
        await storage._client.create_multipart_upload(Bucket=storage.bucket, Key=f"{key_prefix}{key}")
    await storage.copy(f"{key_prefix}a", f"{key_prefix}b")
    assert await unfinished(storage, key_prefix) == [f"{key_prefix}b-neighbour"]


async def test_a_source_that_is_gone_is_named(storage: Storage, key_prefix: str) -> None:
    known = ObjectInfo(f"{key_prefix}none", SIZE, '"x"')
    with pytest.raises(ObjectMissing) as missing:
        await storage.copy(f"{key_prefix}none", f"{key_prefix}b", known)
    assert missing.value.key == f"{key_prefix}none"


class Odd(S3Gateway):
    """Lets `before_part` happen once, before a part is copied; hangs on parts; refuses access rights. SeaweedFS keeps
    none, so every object here is readable by all. `asked` are the rights that copies asked for."""

    before_part: Any = None
    hangs = False
    refuses = False

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self.asked: list[str] = []

    async def _answer(self, request: web.Request) -> web.Response:
        if "x-amz-copy-source-range" in request.headers:
            if happens := self.before_part:
                self.before_part = None
                await happens()
            if self.hangs:
                await self._closing.wait()
        if request.method == "GET" and "acl" in request.query:
            return web.Response(text=PUBLIC_READ, content_type="application/xml")
        self.asked += [request.headers["x-amz-acl"]] if "x-amz-acl" in request.headers else []
        if self.refuses and "x-amz-acl" in request.headers:
            text = "<Error><Code>AccessControlListNotSupported</Code><Message>no</Message></Error>"
            return web.Response(status=400, text=text, content_type="application/xml")
        return await self._forward(request)


async def test_a_source_that_is_replaced_in_mid_copy_is_copied_again_later(
    servers: dict[str, str], storage: Storage, key_prefix: str
) -> None:
    source, target = f"{key_prefix}a", f"{key_prefix}b"
    await put(storage, source, SIZE)
    async with Odd(servers["S3_ENDPOINT_URL"]) as s3, opened(servers, endpoint=s3.url) as behind:
        s3.before_part = lambda: put(storage, source, SIZE + 1)
        with pytest.raises(Transient):
            await behind.copy(source, target)
        assert await unfinished(storage, key_prefix) == []
        assert (await behind.copy(source, target)).size == SIZE + 1


async def test_a_part_that_hangs_ends_with_its_time_out(
    servers: dict[str, str], storage: Storage, key_prefix: str
) -> None:
    await put(storage, f"{key_prefix}a", SIZE)
    async with Odd(servers["S3_ENDPOINT_URL"]) as s3, opened(servers, endpoint=s3.url, call_timeout=2.0) as behind:
        s3.hangs = True
        with pytest.raises(Transient):
            await behind.copy(f"{key_prefix}a", f"{key_prefix}b")
    assert await unfinished(storage, key_prefix) == []


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("size", [100, SIZE], ids=["at once", "in parts"])
async def test_rights_are_kept_and_where_the_bucket_refuses_them_not_asked_for_again(
    servers: dict[str, str], storage: Storage, key_prefix: str, size: int, refuses: bool
) -> None:
    body = await put(storage, f"{key_prefix}a", size)
    async with Odd(servers["S3_ENDPOINT_URL"]) as s3, opened(servers, endpoint=s3.url) as behind:
        s3.refuses = refuses
        for target in ("b", "c"):
            await behind.copy(f"{key_prefix}a", f"{key_prefix}{target}")
        assert s3.asked == ["public-read"] * (1 if refuses else 2)
    assert await storage.read(f"{key_prefix}c") == body


def test_ranges_cover_every_byte_once_in_at_most_ten_thousand_parts() -> None:
    assert list(ranges(11, 5)) == [(0, 4), (5, 9), (10, 10)]
    assert list(ranges(10, 5)) == [(0, 4), (5, 9)]
    many = list(ranges(5 * 1024**4, PART))
    assert len(many) <= MAX_PARTS
    assert many[-1][1] == 5 * 1024**4 - 1
    assert all(before[1] + 1 == after[0] for before, after in pairwise(many))


def test_rights_are_asked_for_only_where_others_have_some() -> None:
    public: Any = {"Grantee": {"Type": "Group", "URI": PUBLIC}, "Permission": "READ"}
    partner: Any = {"Grantee": {"Type": "CanonicalUser", "ID": "you"}, "Permission": "READ"}
    owner: Any = OWNER
    assert rights_of("me", [owner]) == {}
    assert rights_of("me", [owner, public]) == {"ACL": "public-read"}
    both = {"GrantFullControl": 'id="me"', "GrantRead": f'uri="{PUBLIC}", id="you"'}
    assert rights_of("me", [owner, public, partner]) == both
