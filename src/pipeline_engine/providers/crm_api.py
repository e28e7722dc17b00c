"""The CRM's internal API: the two calls that make a report or a site.

    POST {CRM_API_URL}/instareports   {"deal_id", "report_type"}
    POST {CRM_API_URL}/instasites     {"deal_id", "site_template_id"}

    Authorization: Bearer <service token of the automation's creator, with the scope instareports.create or
                   instasites.create>
    Idempotency-Key: <unit key>

2xx: done, or accepted for certain; the answer's JSON may hold the id of the new object as `id`. A repeat with the same
key must answer as the first call and make nothing new. 409: a call with this key is under way. 429 with Retry-After:
not now. Any other 4xx: refused for good, with `{"error": {"message"}}` or `{"message"}`. 5xx: unknown.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from pipeline_engine.errors import Permanent
from pipeline_engine.providers.claims import Identity
from pipeline_engine.providers.effect_api import CALL_TIMEOUT, EffectApi
from pipeline_engine.providers.replies import quote_reply
from pipeline_engine.providers.tokens import ServiceTokens


class CrmApi:
    """The API at CRM_API_URL: `async with CrmApi(url, tokens) as crm_api`."""

    def __init__(self, url: str | None, tokens: ServiceTokens | None, timeout: float = CALL_TIMEOUT) -> None:
        """`timeout`: the seconds a call may take."""
        self._api = EffectApi("crm_api", url, timeout) if url else None
        self._tokens = tokens
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._api:
            await self._open.enter_async_context(self._api)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def make_report(self, on_behalf: Identity, deal_id: str, report_type: str, key: str) -> str | None:
        """Make an InstaReport. Returns its id, or None when the answer holds none.

        Raises: as `EffectApi.post`; Permanent when a setting is missing.
        """
        return await self._make("instareports", on_behalf, {"deal_id": deal_id, "report_type": report_type}, key)

    async def make_site(self, on_behalf: Identity, deal_id: str, site_template_id: str, key: str) -> str | None:
        """Make an InstaSite. Returns its id, or None when the answer holds none. Raises: as `make_report`."""
        return await self._make(
            "instasites", on_behalf, {"deal_id": deal_id, "site_template_id": site_template_id}, key
        )

    async def _make(self, what: str, on_behalf: Identity, wanted: dict[str, str], key: str) -> str | None:
        if self._api is None:
            raise Permanent("CRM_API_URL is not set, so the CRM's API cannot be called", "crm_api_unset")
        if self._tokens is None:
            raise Permanent("APP_SECRET is not set, so no token for the CRM's API can be made", "crm_api_unset")
        token = self._tokens.for_user(on_behalf, f"{what}.create")
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
        made = await self._api.post(f"/{what}", headers, json=wanted)
        return quote_reply(made["id"], (token,)) if made.get("id") else None
