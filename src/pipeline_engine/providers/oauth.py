"""Refreshes OAuth 2.0 access tokens at the token endpoints that integrations name (RFC 6749, section 6)."""

from __future__ import annotations

import math
import socket
from base64 import b64encode
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.providers.effect_api import CALL_TIMEOUT, retry_after
from pipeline_engine.providers.public_connector import public_connector, read_url
from pipeline_engine.providers.public_host import Lookup, PublicHosts
from pipeline_engine.providers.replies import quote_reply
from pipeline_engine.providers.web_api import WebAnswer, WebApi

TOKEN_URLS = {
    "google": "https://oauth2.googleapis.com/token",
    "gmail": "https://oauth2.googleapis.com/token",
    "microsoft": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
    "outlook": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
}
"""Where to refresh the tokens of a provider whose credential names no `token_url`."""
INVALID_GRANT = "invalid_grant"
TEMPORARY = ("temporarily_unavailable", "server_error", "slow_down")
DEFAULT_LIFETIME = timedelta(hours=1)
"""Of an access token whose endpoint does not say how long it lives."""
MAX_LIFETIME = timedelta(days=366)
MAX_ERROR_CHARS = 64


@dataclass(frozen=True)
class RefreshGrant:
    """What a refresh needs. It holds secrets: never log it."""

    token_url: str
    client_id: str
    client_secret: str
    refresh_token: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that no message may quote."""
        return tuple(one for one in (self.client_secret, self.refresh_token) if one)


@dataclass(frozen=True)
class Tokens:
    """What a refresh returned. `refresh_token` is the old one where the endpoint returned no new one."""

    access_token: str
    refresh_token: str
    lifetime: timedelta


class OAuth:
    """`async with OAuth(...) as oauth`."""

    def __init__(self, allow_private: bool, timeout: float = CALL_TIMEOUT, lookup: Lookup = socket.getaddrinfo) -> None:
        """`allow_private`: private hosts and plain http as well. `timeout`: the seconds of a call."""
        self._hosts = PublicHosts(allow_private, lookup)
        self._api = WebApi("token endpoint", timeout, connector=lambda: public_connector(self._hosts), decompress=False)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._api)
        self._open.callback(self._hosts.close)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def refresh(self, grant: RefreshGrant) -> Tokens:
        """Exchange the refresh token once; a client that may authenticate by header only is asked for a second time.

        Raises: Permanent with the endpoint's error as code (INVALID_GRANT when the grant is revoked, expired or used
        up), `url` or `private_host`; RateLimited; Transient for all that may pass. None of them quotes a secret.
        """
        form = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}
        who = {"client_id": grant.client_id} if grant.client_id else {}
        secret = {"client_secret": grant.client_secret} if grant.client_secret else {}
        answer = await self._post(grant, {**form, **who, **secret})
        if secret and _error(answer) == "invalid_client":
            # RFC 6749, 2.3.1: servers must support Basic, and the secret in the body only if they like to.
            answer = await self._post(grant, form, _basic(grant))
        return read_tokens(answer, grant)

    async def _post(self, grant: RefreshGrant, form: Mapping[str, str], login: str = "") -> WebAnswer:
        url = read_url(grant.token_url, self._hosts.allow_private)
        asked = {"Accept": "application/json", "Accept-Encoding": "identity"}
        asked |= {"Authorization": login} if login else {}
        return await self._api.call("POST", url, grant.secrets, headers=asked, data=dict(form))


def read_tokens(answer: WebAnswer, grant: RefreshGrant) -> Tokens:
    """The tokens in an answer. Raises: as `OAuth.refresh`."""
    if 200 <= answer.status < 300:
        return _tokens(answer.content, grant)
    error = _error(answer)
    said = quote_reply(answer.content.get("error_description") or error or answer.text, grant.secrets)
    message = f"the token endpoint answers {answer.status} {said}".strip()
    if answer.status == 429:
        raise RateLimited(retry_after(answer.headers.get("Retry-After"), datetime.now(UTC)), message)
    # A 4xx that is no answer of OAuth comes from something in between, and says nothing about the grant.
    if answer.status >= 500 or not error or error in TEMPORARY:
        raise Transient(message)
    raise Permanent(message, error)


def _tokens(content: Mapping[str, Any], grant: RefreshGrant) -> Tokens:
    access, refresh = content.get("access_token"), content.get("refresh_token")
    if not isinstance(access, str) or not access:
        raise Transient("the token endpoint answers without an access token")
    is_new = isinstance(refresh, str) and refresh
    return Tokens(access, str(refresh) if is_new else grant.refresh_token, _lifetime(content.get("expires_in")))


def _lifetime(expires_in: object) -> timedelta:
    """How long the token lives; some endpoints send the seconds as text."""
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return DEFAULT_LIFETIME
    if not math.isfinite(seconds) or seconds <= 0:
        return DEFAULT_LIFETIME
    return min(timedelta(seconds=min(seconds, 1e9)), MAX_LIFETIME)


def _error(answer: WebAnswer) -> str:
    """The error of RFC 6749, 5.2; '' when the answer holds none."""
    error = answer.content.get("error")
    is_word = isinstance(error, str) and 0 < len(error) <= MAX_ERROR_CHARS and error.isascii()
    return str(error) if is_word and 400 <= answer.status < 500 else ""


def _basic(grant: RefreshGrant) -> str:
    # `%20` instead of `+` is read alike by servers that decode forms and by those that decode URLs.
    both = f"{quote(grant.client_id, safe='')}:{quote(grant.client_secret, safe='')}"
    return f"Basic {b64encode(both.encode()).decode()}"
