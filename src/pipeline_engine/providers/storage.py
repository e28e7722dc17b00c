"""S3 (Wasabi, Amazon or another): reads, writes, lists, copies and deletes the objects of one bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import aioboto3
from aiobotocore.config import AioConfig

from pipeline_engine import logs
from pipeline_engine.errors import ConfigError, Permanent, Transient
from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.storage_copy import COPY_PART_BYTES, MAX_SIMPLE_COPY_BYTES, Copier
from pipeline_engine.providers.storage_errors import FAILURES, ObjectChanged, engine_error, refuse_bad_key
from pipeline_engine.providers.storage_object import ObjectInfo
from pipeline_engine.providers.storage_upload import PART_BYTES, Upload, in_parts

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef

BLOCK_BYTES = 256 * 1024  # the longest block of a stream
MAX_ATTEMPTS = 2  # of one request; lanes retry the whole job
MAX_RESUMES, RESUME_SECONDS = 4, 0.2  # in a row, without a whole block in between; the wait doubles with each

_session = cache(aioboto3.Session)
"""Loads the description of S3, which takes 0.1 s, once per process. Credentials are the client's own."""

log = logs.get(__name__)


class Storage:
    """One bucket, over one client for the whole process: `async with Storage(...) as storage`.

    Every method raises: ObjectMissing and ObjectChanged (both Permanent), Permanent when the request, the credentials
    or the bucket are wrong, Transient when S3 is away, slow or busy, or an answer breaks off.
    """

    def __init__(
        self,
        *,
        endpoint: str | None,
        region: str,
        key_id: str | None,
        secret: str | None,
        bucket: str,
        connect_timeout: float = 5.0,
        read_timeout: float = 20.0,
        call_timeout: float = 60.0,
        max_simple_copy: int = MAX_SIMPLE_COPY_BYTES,
        copy_part: int = COPY_PART_BYTES,
    ) -> None:
        """Makes no connection yet. Without `endpoint`, it is Amazon's S3. Time-outs in seconds: `read_timeout` limits
        each wait within an answer, `call_timeout` a call with its retry, without the body. Objects of more than
        `max_simple_copy` bytes are copied in parts of `copy_part` bytes."""
        self.bucket = bucket
        self._call_timeout = call_timeout
        self._copier = Copier(self._call, bucket, max_simple_copy, copy_part)
        self._usable = bool(key_id and secret)
        self._options: dict[str, Any] = {
            "endpoint_url": endpoint,
            "region_name": region,
            "aws_access_key_id": key_id,
            "aws_secret_access_key": secret,
            "verify": False if str(endpoint).startswith("http://") else None,  # loading certificates takes 30 ms
            "config": AioConfig(
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
                max_pool_connections=32,
                retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
                # Other S3 servers do not know the checksums that Amazon's client now sends by default.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path" if endpoint else "auto"},
            ),
        }
        self._client: S3Client | None = None
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._usable:  # without, the client would search files and ask the cloud's metadata server
            try:
                self._client = await self._open.enter_async_context(_session().client("s3", **self._options))
            except ValueError as error:
                raise ConfigError(f"S3_ENDPOINT_URL or S3_REGION: {error}") from None
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._client = None
        await self._open.aclose()

    async def check(self) -> None:
        """Check that S3 answers, accepts the credentials and has the bucket."""
        async with self._call("check") as s3:
            await s3.list_objects_v2(Bucket=self.bucket, MaxKeys=1)

    async def head(self, key: str) -> ObjectInfo:
        """The size and ETag of an object."""
        found = await self._copier.head(key)
        return ObjectInfo(key, found["ContentLength"], found["ETag"])

    async def stream(
        self, key: str, start: int = 0, end: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` to before `end`, of the version `etag`, in blocks as they arrive.

        A body that breaks off is resumed at the same byte. Without `etag`, all bytes are of the version of the first
        answer. A caller that stops early must close the stream (`contextlib.aclosing`) to free the connection.
        """
        at = resumed_at = start
        breaks = 0
        while end is None or at < end:
            try:
                answer = await self._get(key, at, end, etag)
                etag, end = answer["ETag"], at + answer["ContentLength"]
                async with aclosing(self._blocks(key, answer)) as blocks:
                    async for block in blocks:
                        at += len(block)
                        yield block
            except Transient as failure:
                breaks = 1 if at - resumed_at >= BLOCK_BYTES else breaks + 1
                resumed_at = at
                if breaks > MAX_RESUMES:
                    raise
                log.info("storage.stream_resumed", key=key, at=at, time=breaks, reason=str(failure))
                await asyncio.sleep(RESUME_SECONDS * 2 ** (breaks - 1))

    async def read(self, key: str, start: int = 0, end: int | None = None, etag: str | None = None) -> bytes:
        """The bytes that `stream` yields, in one piece."""
        return b"".join([block async for block in self.stream(key, start, end, etag)])

    async def put_stream(
        self, key: str, blocks: AsyncIterator[bytes], content_type: str = "application/octet-stream"
    ) -> ObjectInfo:
        """Write an object from blocks of any size, with about 15 MB of it in memory at a time.

        The object appears whole or not at all: on any failure, also of `blocks`, no part of it remains in S3.
        """
        refuse_bad_key(key)
        async with aclosing(in_parts(blocks)) as parts:
            first = await anext(parts, b"")
            if len(first) < PART_BYTES:
                return ObjectInfo(key, len(first), await self._put(key, first, content_type))
            upload = Upload(self._call, self.bucket, key, {"ContentType": content_type})
            etag = await upload.send(first, parts)
            return ObjectInfo(key, upload.size, etag)

    async def copy(self, source_key: str, target_key: str, known: ObjectInfo | None = None) -> ObjectInfo:
        """Copy an object within the bucket, on the server, with its metadata and, where S3 allows it, its storage class
        and access rights. An object at the target is replaced. One of more than 5 GiB is copied in parts.

        The copy is compared with the source, because S3 may answer 200 with an error in the body, and the source may be
        replaced meanwhile. `known`, an earlier result under the source's key, saves requests unless the copy has
        another ETag.
        """
        return await self._copier.copy(source_key, target_key, known)

    async def delete(self, key: str) -> None:
        """Delete an object. A missing object counts as deleted."""
        async with self._call("delete", key) as s3:
            await s3.delete_object(Bucket=self.bucket, Key=refuse_bad_key(key))

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo, None]:
        """Every object whose key starts with `prefix`, ordered by key."""
        page: dict[str, Any] = {}
        while True:
            async with self._call("list", prefix) as s3:
                answer = await s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **page)
            for found in answer.get("Contents", []):
                yield ObjectInfo(found["Key"], found["Size"], found["ETag"])
            if not answer["IsTruncated"]:
                return
            page = {"ContinuationToken": answer["NextContinuationToken"]}

    @asynccontextmanager
    async def _call(self, verb: str, key: str = "") -> AsyncIterator[S3Client]:
        if self._client is None:
            raise Permanent("S3 is not set up: S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY are needed", "storage_unset")
        with self._engine_errors(key):
            async with asyncio.timeout(self._call_timeout), failpoint(f"s3.{verb}"):
                yield self._client

    @contextmanager
    def _engine_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except FAILURES as failure:
            raise engine_error(failure, self.bucket, key) from failure

    async def _get(self, key: str, at: int, end: int | None, etag: str | None) -> GetObjectOutputTypeDef:
        wanted: dict[str, Any] = {"Bucket": self.bucket, "Key": refuse_bad_key(key)}
        if at or end is not None:
            wanted["Range"] = f"bytes={at}-{'' if end is None else end - 1}"
        if etag:
            wanted["IfMatch"] = etag
        async with self._call("get", key) as s3:
            answer = await s3.get_object(**wanted)
        # A server that ignores one of the two headers would make the stream mix versions or offsets.
        if etag and answer["ETag"] != etag:
            answer["Body"].close()
            raise ObjectChanged(key)
        if "Range" in wanted and not answer.get("ContentRange", "").startswith(f"bytes {at}-"):
            answer["Body"].close()
            raise Permanent(f"S3 does not answer a request for a range of {key!r} with that range", "storage_range")
        return answer

    async def _blocks(self, key: str, answer: GetObjectOutputTypeDef) -> AsyncGenerator[bytes, None]:
        body = answer["Body"]
        try:
            while True:
                with self._engine_errors(key):
                    block = await body.read(BLOCK_BYTES)
                if not block:
                    return
                yield block
        finally:
            body.close()  # changes nothing after the last block, when the connection is free already

    async def _put(self, key: str, body: bytes, content_type: str) -> str:
        async with self._call("put", key) as s3:
            done = await s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)
        return done["ETag"]
