"""Failures of S3 as errors of the engine's tree."""

from __future__ import annotations

import re

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.exceptions import ConnectionError as NotConnected
from botocore.parsers import ResponseParserError

from pipeline_engine.errors import EngineError, Permanent, Transient
from pipeline_engine.providers.replies import quote_reply

FAILURES = (ClientError, BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError)
"""Everything that a failed call of aioboto3 raises; a time-out is an OSError."""

BROKEN_OFF = (NotConnected, HTTPClientError, IncompleteReadError, ResponseParserError, aiohttp.ClientError, OSError)
# Codes of temporary failures whose status does not say so. NoSuchUpload: a newer upload of the same key replaced this
# one, or it was completed and the answer was lost. Repeating everything is right in both cases.
TEMPORARY_CODES = {"RequestTimeout", "SlowDown", "OperationAborted", "NoSuchUpload"}

MAX_KEY_BYTES = 1024  # by S3's rule
BAD_KEY = re.compile(r"^/|\.\.|[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class ObjectMissing(Permanent):
    """There is no object under this key."""

    def __init__(self, bucket: str, key: str) -> None:
        super().__init__(f"there is no object {key!r} in the bucket {bucket!r}", "object_missing")
        self.key = key


class ObjectChanged(Permanent):
    """The object was replaced since its ETag was read, so the bytes read so far belong to another version."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the object {key!r} was replaced while it was being read", "object_changed")
        self.key = key


def refuse_bad_key(key: str) -> str:
    """Returns the key if S3 accepts it and it cannot point outside its prefix.

    Raises: Permanent `bad_key` when it is empty, longer than 1,024 bytes, starts with `/`, or holds `..` or a control
    character.
    """
    if not key or BAD_KEY.search(key) or len(key.encode()) > MAX_KEY_BYTES:
        raise Permanent(f"not an acceptable S3 key: {key[:100]!r}", "bad_key")
    return key


def engine_error(failure: BaseException, bucket: str, key: str) -> EngineError:
    """The failure of a call about `key` as an error of the engine's tree."""
    if isinstance(failure, ClientError):
        return _refused(failure, bucket, key)
    if isinstance(failure, BROKEN_OFF):
        return Transient(f"S3 did not answer in full: {type(failure).__name__}: {quote_reply(failure)}")
    return Permanent(f"the request to S3 for {key!r} is not valid: {quote_reply(failure)}", "storage_request")


def _refused(failure: ClientError, bucket: str, key: str) -> EngineError:
    code = quote_reply(failure.response.get("Error", {}).get("Code", ""))
    status = failure.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if (status >= 500 and code != "NotImplemented") or status == 429 or code in TEMPORARY_CODES:
        return Transient(f"S3 is busy or failing: {quote_reply(failure)}")
    if code == "NoSuchBucket":
        return Permanent(f"there is no bucket {bucket!r}: see S3_BUCKET", "no_bucket")
    if status == 403:
        reason = f"S3 denies access to the bucket {bucket!r} ({code}): see S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY"
        return Permanent(reason, "storage_denied")
    if status == 404:  # the answer to a HEAD request has no body and so no code
        return ObjectMissing(bucket, key)
    if status == 412:
        return ObjectChanged(key)
    return Permanent(f"S3 refuses {key!r}: {quote_reply(failure)}", "storage_refused")
