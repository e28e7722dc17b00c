"""Copies objects within a bucket, on the server, with their metadata, storage class and access rights.

S3 copies at most 5 GiB at once; a larger object is copied in parts.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline_engine import logs
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.storage_errors import ObjectChanged, ObjectMissing, refuse_bad_key
from pipeline_engine.providers.storage_object import ObjectInfo
from pipeline_engine.providers.storage_upload import Upload

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import GrantTypeDef

    from pipeline_engine.providers.storage_upload import Call

MAX_SIMPLE_COPY_BYTES = 5 * 1024**3
"""By S3's rule; an object of exactly this size is copied at once."""
COPY_PART_BYTES = 128 * 1024**2
"""So that each part is copied well within the time-out of a call. S3 takes at least 5 MiB, but for the last part."""
MAX_PARTS = 10_000  # by S3's rule

# What HEAD returns of an object's metadata under the name by which an upload in parts sets it. A simple copy keeps it.
METADATA = (
    "ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "Metadata",
    "WebsiteRedirectLocation",
)  # fmt: skip
PUBLIC = "http://acs.amazonaws.com/groups/global/AllUsers"
GRANTS = {
    "FULL_CONTROL": "GrantFullControl",
    "READ": "GrantRead",
    "READ_ACP": "GrantReadACP",
    "WRITE_ACP": "GrantWriteACP",
}
"""{permission of a grant: the option that grants it to the copy}. An object knows no WRITE."""

log = logs.get(__name__)


class Copier:
    """Copies the objects of one bucket. `call(verb, key)` yields the client for one call."""

    def __init__(self, call: Call, bucket: str, max_simple: int, part: int) -> None:
        self._call = call
        self._bucket = bucket
        self._max_simple, self._part = max_simple, part
        self._keeps = True
        """False once S3 took a copy only without its storage class and access rights."""

    async def head(self, key: str) -> Mapping[str, Any]:
        """What S3 answers to HEAD."""
        async with self._call("head", key) as s3:
            return await s3.head_object(Bucket=self._bucket, Key=refuse_bad_key(key))

    async def copy(self, source_key: str, target_key: str, known: ObjectInfo | None) -> ObjectInfo:
        """As `Storage.copy`."""
        source = known or await self._examine(source_key)
        refuse_bad_key(target_key)
        if source.size > self._max_simple:
            return await self._copy_in_parts(source_key, target_key)
        etag = await self._keeping(source, lambda kept: self._copy_at_once(source_key, target_key, kept))
        if etag != source.etag or not source.has_content_etag:
            source = replace(await self._info(source_key), kept=source.kept) if known else source
            await self._compare(source, target_key, etag)
        return replace(source, key=target_key, etag=etag or source.etag)

    async def _copy_at_once(self, source_key: str, target_key: str, kept: Mapping[str, Any]) -> str | None:
        """Returns the ETag of the copy; None where S3 names none, as with an error inside an answer of 200."""
        source = {"Bucket": self._bucket, "Key": source_key}
        async with self._call("copy", source_key) as s3:
            done = await s3.copy_object(Bucket=self._bucket, Key=target_key, CopySource=source, **kept)  # type: ignore[arg-type]
        etag = done.get("CopyObjectResult", {}).get("ETag")
        return etag and '"{}"'.format(etag.strip('"'))  # some S3 servers omit the quotation marks here

    async def _copy_in_parts(self, source_key: str, target_key: str) -> ObjectInfo:
        """Everything is read anew: what a caller knew of so large an object may be old, and HEAD has its metadata."""
        found, rights = await self._looked_up(source_key)
        source = _described(source_key, found, _kept(found, rights))
        metadata = {name: found[name] for name in METADATA if found.get(name)}
        places = list(ranges(source.size, self._part))

        async def upload(kept: Mapping[str, Any]) -> str:
            new = Upload(self._call, self._bucket, target_key, {**metadata, **kept})
            return await new.copy(source_key, source.etag, places)

        try:
            etag = await self._keeping(source, upload)
        except ObjectChanged as changed:
            raise Transient(str(changed)) from changed
        await self._compare(source, target_key, etag)
        return replace(source, key=target_key, etag=etag)

    async def _keeping(self, source: ObjectInfo, make: Callable[[Mapping[str, Any]], Awaitable[Any]]) -> Any:
        """What `make` returns when it asks for the storage class and the rights of the source or, where S3 refuses
        that, without."""
        if not (source.kept and self._keeps):
            return await make({})
        try:
            return await make(source.kept)
        except (ObjectMissing, ObjectChanged):
            raise
        except Permanent as refused:
            made = await make({})
            self._keeps = False
            log.warning("storage.copy_kept_less", key=source.key, without=sorted(source.kept), reason=str(refused))
            return made

    async def _compare(self, source: ObjectInfo, target_key: str, etag: str | None) -> None:
        there = await self._info(target_key)
        if etag is None:
            fault = "its answer names no ETag"
        elif there.size != source.size:
            fault = f"{there.size} bytes of {source.size}"
        elif there.has_content_etag and source.has_content_etag and there.etag != source.etag:
            fault = f"its ETag is {there.etag}, not {source.etag}"
        else:
            return
        raise Transient(f"S3 did not copy {source.key!r} as it is: {fault}")

    async def _info(self, key: str) -> ObjectInfo:
        return _described(key, await self.head(key), {})

    async def _examine(self, key: str) -> ObjectInfo:
        found, rights = await self._looked_up(key)
        return _described(key, found, _kept(found, rights))

    async def _looked_up(self, key: str) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """The answer to HEAD and the access rights. Neither request goes on when the other has failed."""
        rights = asyncio.create_task(self._rights(key))
        try:
            return await self.head(key), await rights
        finally:
            rights.cancel()
            await asyncio.gather(rights, return_exceptions=True)

    async def _rights(self, key: str) -> Mapping[str, str]:
        """The access rights of an object as options of a copy; none where S3 knows or shows none."""
        if not self._keeps:
            return {}
        try:
            async with self._call("acl", key) as s3:
                found = await s3.get_object_acl(Bucket=self._bucket, Key=refuse_bad_key(key))
        except Permanent:
            return {}  # HEAD says what is wrong with the object, if anything
        return rights_of(found.get("Owner", {}).get("ID", ""), found.get("Grants", []))


def ranges(size: int, part: int) -> Iterator[tuple[int, int]]:
    """The first and the last byte of each part, in order. Parts are larger than `part` where there would be too many.
    Pure."""
    step = max(part, -(-size // MAX_PARTS))
    return ((at, min(at + step, size) - 1) for at in range(0, size, step))


def rights_of(owner: str, grants: Sequence[GrantTypeDef]) -> dict[str, str]:
    """The grants of an access control list as options of a copy; none when only the owner has rights. Pure."""
    named: dict[str, list[str]] = defaultdict(list)
    for grant in grants:
        grantee = grant.get("Grantee", {})
        who = f'id="{grantee["ID"]}"' if "ID" in grantee else f'uri="{grantee.get("URI", "")}"'
        if option := GRANTS.get(grant.get("Permission", "")):
            named[option].append(who)
    others = {(option, who) for option, several in named.items() for who in several} - {
        ("GrantFullControl", f'id="{owner}"')
    }
    if others == {("GrantRead", f'uri="{PUBLIC}"')}:
        return {"ACL": "public-read"}  # the usual case; more servers know it than know single grants
    return {option: ", ".join(several) for option, several in named.items()} if others else {}


def _kept(found: Mapping[str, Any], rights: Mapping[str, str]) -> dict[str, Any]:
    storage_class = found.get("StorageClass", "STANDARD")
    return {**rights, **({"StorageClass": storage_class} if storage_class != "STANDARD" else {})}


def _described(key: str, found: Mapping[str, Any], kept: Mapping[str, Any]) -> ObjectInfo:
    encrypted = found.get("ServerSideEncryption", "").startswith("aws:kms")
    return ObjectInfo(key, found["ContentLength"], found["ETag"], kept, encrypted)
