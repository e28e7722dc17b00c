"""Access tokens of a Google service account: a signed assertion, exchanged at Google's token endpoint (RFC 7523)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from time import monotonic
from typing import Any

from jose import jwk, jws
from jose.exceptions import JWKError

from pipeline_engine.clock import Clock
from pipeline_engine.errors import ConfigError, Transient
from pipeline_engine.providers.web_api import WebApi

SETTING = "GOOGLE_SERVICE_ACCOUNT_FILE"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS = 3600
"""The longest that Google accepts."""
MIN_REMAINING_SECONDS = 300.0
NEEDED = ("client_email", "private_key")


class GoogleAccount:
    """One service account with one scope. Its token is kept in memory only."""

    def __init__(self, file: str, scope: str, api: WebApi, clock: Clock) -> None:
        """Raises: ConfigError when the file is no key file of a service account."""
        self._account = read_key_file(file)
        self._scope = scope
        self._api = api
        self._clock = clock
        self._token, self._until = "", 0.0
        self._one_at_a_time = asyncio.Lock()

    @property
    def email(self) -> str:
        """The account's address, with which owners share their sheets."""
        return str(self._account["client_email"])

    async def token(self, rejected: str = "") -> str:
        """A token that is valid for five more minutes, and is not the `rejected` one.

        Raises: RateLimited, Transient; Permanent when Google refuses the account.
        """
        async with self._one_at_a_time:
            if self._until - monotonic() < MIN_REMAINING_SECONDS or self._token == rejected:
                self._token, self._until = await self._fetch()
            return self._token

    async def _fetch(self) -> tuple[str, float]:
        assertion = self._assertion()
        form = {"grant_type": GRANT_TYPE, "assertion": assertion}
        asked = monotonic()
        answer = await self._api.call("POST", self._token_url, (assertion,), data=form)
        content = self._api.accepted(answer, (assertion,))
        token, seconds = content.get("access_token"), content.get("expires_in")
        if not isinstance(token, str) or not token:
            raise Transient("Google answers without an access token")
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        return token, asked + (float(seconds) if is_number else ASSERTION_SECONDS)  # type: ignore[arg-type]

    @property
    def _token_url(self) -> str:
        return str(self._account.get("token_uri") or TOKEN_URL)

    def _assertion(self) -> str:
        now = int(self._clock.now().timestamp())
        claims = {"iss": self.email, "scope": self._scope, "aud": self._token_url}
        times = {"iat": now, "exp": now + ASSERTION_SECONDS}
        named = {"kid": self._account["private_key_id"]} if self._account.get("private_key_id") else None
        key = self._account["private_key"]
        return str(jws.sign({**claims, **times}, key, headers=named, algorithm="RS256"))


def read_key_file(file: str) -> dict[str, Any]:
    """The content of a service account's JSON key file. Raises: ConfigError, which quotes nothing of it."""
    try:
        content = json.loads(Path(file).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{SETTING}: given {file!r}: cannot be read as JSON: {type(error).__name__}") from None
    if not isinstance(content, dict) or not all(isinstance(content.get(name), str) for name in NEEDED):
        raise ConfigError(f"{SETTING}: given {file!r}: is no key file of a service account: needs {', '.join(NEEDED)}")
    try:
        jwk.construct(content["private_key"], "RS256")
    except (JWKError, ValueError):
        raise ConfigError(f"{SETTING}: given {file!r}: its private_key is no RSA key in PEM") from None
    return content
