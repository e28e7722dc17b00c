"""Makes a large object in S3 of parts, which are uploaded or copied, and removes the parts on a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from pipeline_engine import logs
from pipeline_engine.errors import EngineError, Permanent, Transient

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

    Call = Callable[[str, str], AbstractAsyncContextManager[S3Client]]

PART_BYTES = 5 * 1024 * 1024  # the smallest part that S3 takes; a shorter object is uploaded by one PUT
ABORT_TIMEOUT = 10.0
MAX_CONCURRENT_COPIES = 4

log = logs.get(__name__)


class Upload:
    """One multipart upload. `call(verb, key)` yields the client for one call."""

    def __init__(self, call: Call, bucket: str, key: str, options: Mapping[str, Any]) -> None:
        """`options`: metadata, storage class and access rights of the object."""
        self._call = call
        self._bucket, self._key, self._options = bucket, key, options
        self._sent: list[CompletedPartTypeDef] = []
        self.size = 0  # bytes sent so far

    async def send(self, first: bytes, rest: AsyncIterator[bytes]) -> str:
        """Upload all parts in order and make one object of them; returns its ETag."""
        async with self._begun() as own:
            await self._send_part(own, first)
            async for part in rest:
                await self._send_part(own, part)
            return await self._complete(own)

    async def copy(self, source_key: str, etag: str, ranges: Sequence[tuple[int, int]]) -> str:
        """Make the object of these ranges of another, all of its version `etag`; returns the ETag of the copy."""
        places = asyncio.Semaphore(MAX_CONCURRENT_COPIES)

        async def copy(number: int, place: tuple[int, int]) -> CompletedPartTypeDef:
            async with places:
                return await self._copy_part(own, number, place, source_key, etag)

        async with self._begun() as own:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(copy(number, place)) for number, place in enumerate(ranges, 1)]
            except* EngineError as failures:
                raise failures.exceptions[0] from None
            self._sent = [task.result() for task in tasks]
            return await self._complete(own)

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[str]:
        """The id of a new upload. However the block ends, no unfinished upload of the key remains."""
        async with self._call("upload_begin", self._key) as s3:
            begun = await s3.create_multipart_upload(Bucket=self._bucket, Key=self._key, **self._options)
        try:
            yield begun["UploadId"]
        finally:
            await self._abort_unfinished(begun["UploadId"])

    async def _copy_part(
        self, own: str, number: int, place: tuple[int, int], source_key: str, etag: str
    ) -> CompletedPartTypeDef:
        async with self._call("upload_copy", source_key) as s3:
            done = await s3.upload_part_copy(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=own,
                PartNumber=number,
                CopySource={"Bucket": self._bucket, "Key": source_key},
                CopySourceRange=f"bytes={place[0]}-{place[1]}",
                CopySourceIfMatch=etag,
            )
        if not (part := done.get("CopyPartResult", {}).get("ETag")):
            raise Transient(f"S3 did not copy part {number} of {source_key!r}")
        return {"ETag": part, "PartNumber": number}

    async def _send_part(self, own: str, part: bytes) -> None:
        number = len(self._sent) + 1
        async with self._call("upload_part", self._key) as s3:
            done = await s3.upload_part(Bucket=self._bucket, Key=self._key, UploadId=own, PartNumber=number, Body=part)
        self._sent.append({"ETag": done["ETag"], "PartNumber": number})
        self.size += len(part)

    async def _complete(self, own: str) -> str:
        async with self._call("upload_complete", self._key) as s3:
            whole = await s3.complete_multipart_upload(
                Bucket=self._bucket, Key=self._key, UploadId=own, MultipartUpload={"Parts": self._sent}
            )
        return whole["ETag"]

    async def _abort_unfinished(self, own: str) -> None:
        """Abort every unfinished upload of the key: this one, that of a killed process, one whose id was lost."""
        try:
            async with asyncio.timeout(ABORT_TIMEOUT):
                for upload in await self._unfinished(own):
                    async with self._call("upload_abort", self._key) as s3:
                        await s3.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=upload)
        except (EngineError, TimeoutError) as failure:
            log.warning("storage.abort_failed", key=self._key, reason=str(failure))

    async def _unfinished(self, own: str) -> list[str]:
        with suppress(Permanent):  # listing uploads may not be permitted
            async with self._call("upload_list", self._key) as s3:
                found = await s3.list_multipart_uploads(Bucket=self._bucket, Prefix=self._key)
            return [upload["UploadId"] for upload in found.get("Uploads", []) if upload["Key"] == self._key]
        return [own]


async def in_parts(blocks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes in pieces of PART_BYTES; only the last one may be shorter."""
    held = bytearray()
    async for block in blocks:
        held += block
        while len(held) >= PART_BYTES:
            part = bytes(held[:PART_BYTES])
            del held[:PART_BYTES]
            yield part
    if held:
        yield bytes(held)
