"""`/api/v1/deals/import`: a posted file becomes an import of the token's account, whose state can be asked for."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import BytesIOPayload, FormData
from bson import ObjectId
from jose import jwt
from pymongo.errors import AutoReconnect

from pipeline_engine import failpoints
from pipeline_engine.failpoints import FaultPlan
from pipeline_engine.providers.claims import Identity
from pipeline_engine.settings import Settings
from tests.integration.conftest import RunImports
from tests.integration.test_admin import Door, opened
from tests.integration.test_admin_hostile import client
from tests.support.engine_app import open_app
from tests.support.world import SAMPLE, SAMPLE_MAPPINGS, World

PATH = "/api/v1/deals/import"


@pytest.fixture
async def door(configured: Settings, world: World) -> AsyncIterator[Door]:
    async with opened(configured, world) as door:
        yield door


def form(world: World, file: str | bytes = SAMPLE, **fields: str) -> FormData:
    made = FormData()
    given = {"pipeline_id": str(world.pipeline), "mappings": json.dumps(SAMPLE_MAPPINGS), **fields}
    content = file.encode() if isinstance(file, str) else file
    made.add_field("csv_file", io.BytesIO(content), filename="deals.csv")
    for name, value in given.items():
        made.add_field(name, value)
    return made


async def post(door: Door, data: object, token: str | None = None) -> tuple[int, Any]:
    """Status, and the error's code or the import's id."""
    status, answer = await door.ask("POST", PATH, token, data=data)
    return status, ObjectId(answer["queue_id"]) if status == 202 else answer["error"]["code"]


async def mint(settings: Settings, *who: str | None) -> str:
    async with open_app(settings) as app:
        assert app.tokens is not None
        return app.tokens.mint(Identity(*who))  # type: ignore[arg-type]


def nothing_is_stored(world: World) -> bool:
    return world.db["queues"].count_documents({}) == 0 and world.keys(f"imports/{world.account}/") == []


@pytest.mark.covers("DI-03", "DI-04")
async def test_a_posted_file_is_imported_and_shown(door: Door, world: World, run_imports: RunImports) -> None:
    bad = SAMPLE + "Bad Deal,many,qualified,open,A,a@b.example\n"
    status, id = await post(door, form(world, bad, tags='["imported"]'))
    assert status == 202

    queue = world.import_of(id)
    assert (queue["source"], queue["status"], queue["user_id"]) == ("deals", "pending", world.user)
    assert (queue["account_id"], queue["parent_account"], queue["client_id"]) == (world.account, None, None)
    assert queue["csv"] == [{"key": f"imports/{world.account}/{id}.csv", "name": "deals.csv"}]
    assert world.download(queue["csv"][0]["key"]).decode() == bad
    _, before = await door.ask("GET", f"{PATH}/{id}")
    assert (before["status"], before["total"], before["progress"]) == ("pending", None, 0.0)

    await run_imports()

    assert [deal["tags"] for deal in world.deals_of(id)] == [["imported"]] * 3
    status, shown = await door.ask("GET", f"{PATH}/{id}")
    expected: dict[str, Any] = {"queue_id": str(id), "status": "completed", "file": "deals.csv", "tags": ["imported"]}
    expected |= {"total": 4, "added": 3, "errors": 1, "skipped": 0, "progress": 1.0, "error": None}
    assert (status, {name: shown[name] for name in expected}) == (200, expected)
    assert shown["error_csv_key"] == f"imports/{world.account}/{id}.errors-{id}.csv"
    assert (shown["error_groups"][0]["column"], shown["errors_shown"][0]["line"]) == ("Value", 5)
    assert "a@b.example" not in json.dumps(shown)


async def test_parent_and_client_are_those_of_the_token(door: Door, world: World, configured: Settings) -> None:
    parent, client = ObjectId(), ObjectId()
    token = await mint(configured, str(world.user), str(world.account), str(parent), str(client))
    _, id = await post(door, form(world), token)
    queue = world.import_of(id)
    assert (queue["parent_account"], queue["client_id"]) == (parent, client)
    for who in (("x", str(world.account)), (str(world.user), "x"), (str(world.user), str(world.account), None, "x")):
        assert await post(door, form(world), await mint(configured, *who)) == (403, "no_account")


async def test_a_dry_run_over_a_file_of_several_parts(door: Door, world: World, run_imports: RunImports) -> None:
    rows = "".join(f"Deal {n};{n};won;{'x' * 2000}\n" for n in range(5000))
    file = f"Deal Name;Value;Stage;Notes\n{rows}"
    _, id = await post(door, form(world, file, dry_run="true", delimiter="semicolon"))

    assert world.download(world.import_of(id)["csv"][0]["key"]).decode() == file
    await run_imports()
    _, shown = await door.ask("GET", f"{PATH}/{id}")
    assert (shown["status"], shown["dry_run"], shown["added"], shown["total"]) == ("completed", True, 5000, 5000)
    assert shown["outlook"]
    assert world.deals_of(id) == []


@pytest.mark.covers("DI-22")
async def test_what_cannot_be_imported_is_refused_and_nothing_is_stored(door: Door, world: World) -> None:
    neighbour = world.neighbour()
    wrong = [
        (form(world, mappings='{"Deal": "name"}'), "columns"),
        (form(world, mappings='{"Deal Name": "account_id"}'), "mapping"),
        (form(world, mappings="{}"), "mapping"),
        (form(world, pipeline_id=str(neighbour.pipeline)), "foreign_reference"),
        (form(world, pipeline_id=str(ObjectId())), "unknown"),
        (form(world, ""), "empty"),
        (form(world, b"PK\x03\x04" + bytes(1000)), "unreadable"),
        (form(world, delimiter="x"), "delimiter"),
        (form(world, delimiter=""), "delimiter"),
        (form(world, encoding="klingon"), "encoding"),
        (form(world, dry_run="1"), "options"),
        (form(world, has_header="0"), "has_header"),
        (form(world, duplicates='{"policy": "update"}'), "options"),
        (form(world, retry_of="x"), "options"),
        (form(world, retry_of=str(ObjectId())), "retry_of"),
        (form(world, account_id=str(neighbour.account)), "invalid_field"),
    ]
    for data, code in wrong:
        assert await post(door, data) == (422, code)
    assert nothing_is_stored(world)


BOUNDARY = "multipart/form-data; boundary=xx"
PART = b'--xx\r\nContent-Disposition: form-data; name="csv_file"; filename="a"\r\n\r\na,b\r\n'
BODIES: dict[str, tuple[str, bytes, int, str]] = {
    "JSON": ("application/json", b"{}", 415, "not_multipart"),
    "no boundary": ("multipart/form-data", PART, 400, "invalid_multipart"),
    "another boundary": (BOUNDARY, b"--yy\r\n\r\n", 400, "invalid_multipart"),
    "no name": (BOUNDARY, b"--xx\r\nX: y\r\n\r\na\r\n--xx--\r\n", 400, "invalid_multipart"),
    "two files": (BOUNDARY, PART + PART + b"--xx--\r\n", 400, "invalid_multipart"),
    "a long head": (BOUNDARY, b"--xx\r\nX: " + b"y" * 20_000, 400, "invalid_multipart"),
    "a long field": (
        BOUNDARY,
        b'--xx\r\nContent-Disposition: form-data; name="tags"\r\n\r\n' + b"y" * 300_000 + b"\r\n--xx--\r\n",
        400,
        "invalid_multipart",
    ),
    "another charset": (f"{BOUNDARY}; charset=idna", PART + b"--xx--\r\n", 422, "invalid_field"),
    "no field": (BOUNDARY, b"--xx--\r\n", 422, "invalid_field"),
    "nothing": (BOUNDARY, b"", 400, "invalid_multipart"),
    "no end": (BOUNDARY, PART + b"x" * 2_000_000, 400, "invalid_multipart"),
}


@pytest.mark.parametrize(("content_type", "body", "status", "code"), BODIES.values(), ids=BODIES)
async def test_what_is_no_form_with_a_file_is_refused(
    door: Door, world: World, content_type: str, body: bytes, status: int, code: str
) -> None:
    assert await post(door, BytesIOPayload(io.BytesIO(body), content_type=content_type)) == (status, code)
    assert nothing_is_stored(world)


async def test_the_body_has_a_length_and_a_limit_of_its_own(configured: Settings, world: World) -> None:
    async with opened(configured, world, import_max_bytes=100_000) as door:
        assert (await post(door, form(world, SAMPLE + "\n" * 90_000)))[0] == 202
        for path, length, status in ((PATH, 1_148_577, 413), (PATH, 1_148_576, 401), ("/api/v1/events", 65_537, 413)):
            async with client(door) as one:  # refused before a byte of the body is read
                head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n"
                found, headers, _ = await one.ask(head.encode())
                assert (found, headers["connection"]) == (status, "close")

        async def chunks() -> AsyncIterator[bytes]:
            yield PART

        assert await post(door, chunks()) == (411, "length_required")


async def test_only_who_may_create_contacts_uploads(door: Door, world: World, configured: Settings) -> None:
    assert await post(door, form(world), "") == (401, "token_missing")
    assert await post(door, form(world), door.token[:-4] + "AAAA") == (401, "token_signature")
    now, secret = int(datetime.now(UTC).timestamp()), configured.app_secret
    assert secret is not None
    who = {"uid": str(world.user), "account_id": str(world.account), "type": "access_token", "iat": now}
    tokens = {
        scope: jwt.encode({**who, "exp": now + 60, "scope": scope}, secret.get_secret_value(), "HS256")
        for scope in ("contacts.read", "contacts.create")
    }
    assert await post(door, form(world), tokens["contacts.read"]) == (403, "scope_missing")
    assert nothing_is_stored(world)
    _, id = await post(door, form(world), tokens["contacts.create"])
    assert (await door.ask("GET", f"{PATH}/{id}", tokens["contacts.create"]))[0] == 403
    assert (await door.ask("GET", f"{PATH}/{id}", tokens["contacts.read"]))[0] == 200


async def test_an_import_of_another_account_is_as_one_that_does_not_exist(door: Door, world: World) -> None:
    theirs = world.neighbour().submit(SAMPLE)
    clone = world.db["queues"].insert_one({"source": "funnels", "account_id": world.account}).inserted_id
    for id in (theirs, clone, ObjectId(), "x", "%00", "%ff", "x" * 10_000, str(theirs).upper(), f"{theirs}/"):
        status, answer = await door.ask("GET", f"{PATH}/{id}")
        assert (status, answer["error"]["code"]) == (404, "import_not_found"), id
        assert len(answer["error"]["message"]) < 300


async def test_where_deal_import_is_switched_off_none_is_taken(configured: Settings, world: World) -> None:
    mine = world.submit(SAMPLE)
    async with opened(configured, world, qm_deals=False) as door:
        assert await post(door, form(world)) == (409, "switched_off")
        assert (await door.ask("GET", f"{PATH}/{mine}"))[1]["status"] == "pending"


async def test_without_the_storage_the_import_is_failed_and_the_client_comes_again(
    door: Door, world: World, configured: Settings, run_imports: RunImports
) -> None:
    failpoints.arm('{"failpoint": "s3.put", "when": "before", "do": "raise"}', None)
    try:
        assert await post(door, form(world)) == (503, "storage_away")
    finally:
        failpoints.disarm()
    assert [queue["status"] for queue in world.db["queues"].find()] == ["failed"]
    assert (await run_imports()).units == 0
    async with opened(configured, world, s3_access_key_id=None) as without:
        assert await post(without, form(world)) == (503, "storage_away")
    assert (await post(door, form(world)))[0] == 202


async def test_without_the_database_nothing_is_stored(
    door: Door, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(_plan: FaultPlan) -> None:
        raise AutoReconnect("connection closed")

    monkeypatch.setattr(failpoints, "_inject", lose)
    failpoints.arm('{"failpoint": "mongo.queues.insert_one", "do": "raise", "when": "before"}', None)
    try:
        assert await post(door, form(world)) == (503, "database_away")
    finally:
        failpoints.disarm()
    assert nothing_is_stored(world)
