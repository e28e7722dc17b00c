from __future__ import annotations

import aiohttp
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    IncompleteReadError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.storage_errors import ObjectChanged, ObjectMissing, engine_error, refuse_bad_key

URL = "http://127.0.0.1:1/crm"


def answer(status: int, code: str) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "GetObject",
    )


@pytest.mark.parametrize(
    "failure",
    [
        answer(500, "InternalError"),
        answer(503, "SlowDown"),
        answer(429, "TooManyRequests"),
        answer(400, "RequestTimeout"),
        answer(409, "OperationAborted"),
        answer(404, "NoSuchUpload"),
        answer(200, "SlowDown"),
        EndpointConnectionError(endpoint_url=URL),
        ReadTimeoutError(endpoint_url=URL),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ResponseParserError("not XML"),
        aiohttp.ClientPayloadError("cut"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=repr,
)
def test_what_passes_by_itself_is_transient(failure: Exception) -> None:
    assert isinstance(engine_error(failure, "crm", "a.csv"), Transient)


@pytest.mark.parametrize(
    ("failure", "code", "says"),
    [
        (answer(403, "SignatureDoesNotMatch"), "storage_denied", "S3_SECRET_ACCESS_KEY"),
        (answer(403, "403"), "storage_denied", "S3_ACCESS_KEY_ID"),
        (answer(404, "NoSuchBucket"), "no_bucket", "S3_BUCKET"),
        (answer(416, "InvalidRange"), "storage_refused", "a.csv"),
        (ParamValidationError(report="wrong"), "storage_request", "a.csv"),
        (BotoCoreError(), "storage_request", "a.csv"),
    ],
)
def test_what_no_repeat_can_help_is_permanent_and_says_what_to_look_at(
    failure: Exception, code: str, says: str
) -> None:
    error = engine_error(failure, "crm", "a.csv")
    assert isinstance(error, Permanent)
    assert error.code == code
    assert says in str(error)


def test_a_missing_and_a_changed_object_have_names_of_their_own() -> None:
    for missing in (answer(404, "NoSuchKey"), answer(404, "404")):
        error = engine_error(missing, "crm", "a.csv")
        assert isinstance(error, ObjectMissing)
        assert error.key == "a.csv"
        assert str(error) == "there is no object 'a.csv' in the bucket 'crm'"
    assert isinstance(engine_error(answer(412, "PreconditionFailed"), "crm", "a.csv"), ObjectChanged)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "../../other/x.csv",
        "imports/../other/x.csv",
        "a\r\nb.csv",
        "a\x00b",
        "a\x85b",
        "\ud800",
        "k" * 1025,
        "ü" * 513,
    ],
)
def test_keys_that_point_elsewhere_or_cannot_be_keys_are_refused(key: str) -> None:
    with pytest.raises(Permanent) as refused:
        refuse_bad_key(key)
    assert refused.value.code == "bad_key"


@pytest.mark.parametrize("key", ["a", "imports/5f/Übersicht 2026+.csv", "a//b", "%2e%2e/x", "k" * 1024, "folder/"])
def test_odd_but_honest_keys_pass(key: str) -> None:
    assert refuse_bad_key(key) == key
