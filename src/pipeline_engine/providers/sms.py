"""Sends SMS by Twilio's HTTP API."""

from __future__ import annotations

from base64 import b64encode
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self
from urllib.parse import quote

from pipeline_engine import logs
from pipeline_engine.errors import Permanent, SenderRefused
from pipeline_engine.providers.effect_api import CALL_TIMEOUT, CallRefused, EffectApi
from pipeline_engine.providers.replies import quote_reply

BASE_URL = "https://api.twilio.com"
MAX_CHARS = 1600  # by Twilio's rule
OPTED_OUT = 21610
"""Twilio's code for a number that has sent STOP to ours."""
NOT_OURS = (20003, 20005)
"""Its codes for a login that may not send, and for an account that is closed."""


class Sms:
    """The Twilio account of TWILIO_ACCOUNT_SID: `async with Sms(...) as sms`."""

    def __init__(
        self,
        account_sid: str | None,
        auth_token: str | None,
        sender: str | None,
        base_url: str | None = None,
        timeout: float = CALL_TIMEOUT,
    ) -> None:
        """`sender`: a telephone number, or the SID of a messaging service. `timeout`: seconds that a call may take."""
        given = {"TWILIO_ACCOUNT_SID": account_sid, "TWILIO_AUTH_TOKEN": auth_token, "TWILIO_FROM": sender}
        self._missing = [name for name, value in given.items() if not value]
        credential = b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        logs.hide_secrets(auth_token or "", credential)
        self._login = f"Basic {credential}"
        self._from = {"MessagingServiceSid" if (sender or "").startswith("MG") else "From": sender or ""}
        self._path = f"/2010-04-01/Accounts/{quote(account_sid or '', safe='')}/Messages.json"
        self._api = EffectApi("twilio", base_url or BASE_URL, timeout)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._api)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def send(self, to: str, body: str, key: str) -> str | None:
        """Send one message. Returns Twilio's SID of it, or None if the answer holds none. A repeat has the same `key`.

        Raises: as `EffectApi.post`, SenderRefused when Twilio takes no message of ours, and Permanent when a setting is
        missing, the number wants no messages (`opted_out`), or the body is empty or too long.
        """
        if self._missing:
            raise Permanent(f"{', '.join(self._missing)} not set, so no SMS can be sent", "sms_unset")
        if not body.strip():
            raise Permanent("the SMS is empty", "bad_sms")
        if len(body) > MAX_CHARS:
            raise Permanent(f"the SMS is longer than {MAX_CHARS} characters", "bad_sms")
        form = {"To": to, **self._from, "Body": body}
        headers = {"Authorization": self._login, "Idempotency-Key": key}
        try:
            done = await self._api.post(self._path, headers, (to, body), data=form)
        except CallRefused as refusal:
            raise meaning(refusal) from None
        return quote_reply(done["sid"], (to, body)) if done.get("sid") else None


def meaning(refusal: CallRefused) -> Permanent:
    """Whether the refusal concerns each message (SenderRefused), the number (`opted_out`), or this message only."""
    if refusal.status == 401 or refusal.reason in NOT_OURS:
        return SenderRefused(str(refusal), refusal.code)
    return Permanent(str(refusal), "opted_out") if refusal.reason == OPTED_OUT else refusal
