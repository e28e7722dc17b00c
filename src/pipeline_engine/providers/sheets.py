"""Reads Google Sheets by the values API, as a service account with which their owners share them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from yarl import URL

from pipeline_engine.clock import Clock
from pipeline_engine.errors import Permanent, RateLimited
from pipeline_engine.providers.google_account import GoogleAccount
from pipeline_engine.providers.web_api import WebAnswer, WebApi

BASE_URL = "https://sheets.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/spreadsheets.readonly"
TIMEOUT = 30.0
MAX_BYTES = 32 * 1024 * 1024
MAX_CELLS = 1_000_000
QUOTA_REASONS = ("RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "rateLimitExceeded", "userRateLimitExceeded")
QUOTA_SECONDS = 60.0

Rows = list[list[str]]


class Sheets:
    """`async with Sheets(...) as sheets`."""

    def __init__(self, key_file: str | None, base_url: str | None, clock: Clock, timeout: float = TIMEOUT) -> None:
        """`key_file`: of the service account; None: `read` refuses. Raises: ConfigError."""
        self._api = WebApi("Google Sheets", timeout, MAX_BYTES)
        self._account = GoogleAccount(key_file, SCOPE, self._api, clock) if key_file else None
        self._base_url = (base_url or BASE_URL).rstrip("/")
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._api)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    @property
    def user(self) -> str:
        """For whom Google counts the reads; '' without a service account."""
        return self._account.email if self._account else ""

    async def read(self, spreadsheet_id: str, range: str) -> Rows:
        """The cells of the range as a person sees them. Google leaves out what is empty at the end of a row and of the
        range.

        Raises: RateLimited, Transient; Permanent when the sheet is missing, not shared or too large.
        """
        if self._account is None:
            raise Permanent("GOOGLE_SERVICE_ACCOUNT_FILE is not set, so no Google sheet can be read", "sheets_unset")
        path = f"/v4/spreadsheets/{quote(spreadsheet_id, safe='')}/values/{quote(range, safe='')}"
        url = URL(self._base_url + path, encoded=True).with_query(
            majorDimension="ROWS", valueRenderOption="FORMATTED_VALUE"
        )
        token = await self._account.token()
        answer = await self._get(url, token)
        if answer.status == 401:
            answer = await self._get(url, await self._account.token(rejected=token))
        return self._rows(answer)

    async def _get(self, url: URL, token: str) -> WebAnswer:
        return await self._api.call("GET", url, (token,), headers={"Authorization": f"Bearer {token}"})

    def _rows(self, answer: WebAnswer) -> Rows:
        if answer.status == 403 and any(reason in str(answer.content) for reason in QUOTA_REASONS):
            raise RateLimited(QUOTA_SECONDS, "Google Sheets: the quota is used up")
        if answer.status in (403, 404):
            raise Permanent(
                f"Google does not show the sheet ({answer.status}): share it with {self.user}, or correct its id",
                f"http_{answer.status}",
            )
        values = self._api.accepted(answer).get("values", [])
        if not isinstance(values, list) or not all(isinstance(row, list) for row in values):
            raise Permanent("Google's answer holds no rows of values", "bad_sheet")
        if sum(map(len, values)) > MAX_CELLS:
            raise Permanent(f"the range holds more than {MAX_CELLS:,} cells: name a smaller one", "too_large")
        return [[_text(cell) for cell in row] for row in values]


def _text(cell: Any) -> str:
    """The cell as text without lone surrogates, which cannot be stored."""
    return "" if cell is None else str(cell).encode(errors="replace").decode()
