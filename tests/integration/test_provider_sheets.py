"""Google Sheets by a service account, against a stand-in that checks assertions and enforces the quotas."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline_engine.clock import Clock
from pipeline_engine.errors import ConfigError, Permanent, RateLimited, Transient
from pipeline_engine.providers.sheets import Sheets
from tests.support.stand_ins.google import EMAIL, Google


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with Google() as google:
        google.sheets["s/1"] = [["Name", "Amount"], ["Jo", 7], ["", ""], [None, True, ""]]
        yield google


@pytest.fixture
async def sheets(google: Google, tmp_path: Path) -> AsyncIterator[Sheets]:
    async with Sheets(google.key_file(tmp_path), google.url, Clock(), timeout=2) as sheets:
        yield sheets


async def test_cells_are_read_as_texts(sheets: Sheets) -> None:
    assert await sheets.read("s/1", "'Form 1'!A1:F") == [["Name", "Amount"], ["Jo", "7"], [], ["", "True"]]


async def test_one_token_serves_many_reads(sheets: Sheets, google: Google) -> None:
    await sheets.read("s/1", "A:B")
    await sheets.read("s/1", "A:B")
    assert google.assertions == 1


async def test_a_token_that_google_has_forgotten_is_fetched_again(sheets: Sheets, google: Google) -> None:
    await sheets.read("s/1", "A:B")
    google.tokens.clear()
    assert await sheets.read("s/1", "A:B")
    assert google.assertions == 2


async def test_a_sheet_that_is_not_shared_says_with_whom_to_share_it(sheets: Sheets) -> None:
    with pytest.raises(Permanent, match=EMAIL):
        await sheets.read("another", "A:B")


async def test_the_quota_of_google_is_obeyed(sheets: Sheets, google: Google) -> None:
    google.per_user = 1
    await sheets.read("s/1", "A:B")
    with pytest.raises(RateLimited):
        await sheets.read("s/1", "A:B")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, {"error": {"errors": [{"reason": "rateLimitExceeded"}]}}, RateLimited),
        (403, {"error": {"message": "The caller does not have permission"}}, Permanent),
        (400, {"error": {"message": "Unable to parse range"}}, Permanent),
        (500, {}, Transient),
        (200, {"values": "none"}, Permanent),
        (200, {"values": [["a"], "b"]}, Permanent),
    ],
)
async def test_what_is_no_sheet_is_said(
    sheets: Sheets, google: Google, status: int, body: dict[str, object], error: type[Exception]
) -> None:
    google.answers.append((status, body))
    with pytest.raises(error):
        await sheets.read("s/1", "A:B")


async def test_an_empty_range_has_no_rows(sheets: Sheets, google: Google) -> None:
    google.answers.append((200, {"range": "A1:B1", "majorDimension": "ROWS"}))
    assert await sheets.read("s/1", "A:B") == []


async def test_an_account_that_google_refuses_is_permanent(google: Google, tmp_path: Path) -> None:
    file = google.key_file(tmp_path, client_email="stranger@example.com")
    async with Sheets(file, google.url, Clock()) as sheets:
        with pytest.raises(Permanent):
            await sheets.read("s/1", "A:B")


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"client_email": "a", "private_key": "b"}), None])
def test_a_bad_key_file_is_named_and_not_quoted(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match="GOOGLE_SERVICE_ACCOUNT_FILE"):
        Sheets(str(file), None, Clock())


async def test_without_a_key_file_nothing_is_read(google: Google) -> None:
    async with Sheets(None, google.url, Clock()) as sheets:
        with pytest.raises(Permanent, match="GOOGLE_SERVICE_ACCOUNT_FILE"):
            await sheets.read("s/1", "A:B")
