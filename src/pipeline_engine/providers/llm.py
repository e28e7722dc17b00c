"""A language model behind an API that speaks OpenAI's protocol: `POST {LLM_BASE_URL}/chat/completions`.

    {"model", "messages": [system, user], "temperature": 0, "max_tokens", "response_format": {"type": "json_object"}}
    Authorization: Bearer {LLM_API_KEY}

A call reads and changes nothing, so every failure may be repeated. Nothing of a prompt or an answer stands in an error.
After several failed calls in a row the model rests: a server that hangs costs a process a few time-outs, and not one
for each account.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Any, Self

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, InvalidURL

from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.effect_api import CONNECT_TIMEOUT, retry_after
from pipeline_engine.settings import Settings

MAX_ANSWER_BYTES = 256 * 1024
MAX_FAILURES = 3
"""Failed calls in a row before the model rests."""
REST_SECONDS = 60.0
REFUSED = "llm_refused"
"""The error code when the model declined to answer."""
CHARS_PER_TOKEN = 3
"""A cautious guess: English has about four characters per token, other languages fewer."""


@dataclass(frozen=True)
class Completion:
    """What the model wrote, and the tokens that the call used, prompt included."""

    text: str
    tokens: int


class Llm:
    """`async with Llm(url, key, model, timeout) as llm`. Without URL and model there is none, and `is_set` is false."""

    def __init__(self, url: str | None, key: str | None, model: str | None, timeout: float) -> None:
        """`timeout`: the seconds that a call may take, from connecting to the last byte of its answer."""
        self.is_set = bool(url and model)
        self._url = f"{(url or '').rstrip('/')}/chat/completions"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._model = model
        self._timeout = timeout
        self._session: ClientSession | None = None
        self._open = AsyncExitStack()
        self._failures, self._rests_until = 0, 0.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The model of the LLM settings."""
        key = settings.llm_api_key.get_secret_value() if settings.llm_api_key else None
        return cls(settings.llm_base_url, key, settings.llm_model, settings.llm_timeout)

    async def __aenter__(self) -> Self:
        if self.is_set:
            timeout = ClientTimeout(total=None, connect=min(CONNECT_TIMEOUT, self._timeout / 2))
            self._session = await self._open.enter_async_context(ClientSession(timeout=timeout))
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._session = None
        await self._open.aclose()

    async def complete(self, system: str, user: str, max_tokens: int) -> Completion:
        """The model's answer to `user` under the instructions `system`, of at most `max_tokens` tokens.

        Raises: Transient (no usable answer in time, or the model rests), RateLimited (429), Permanent (refused).
        """
        if self._session is None:
            raise Permanent("LLM_BASE_URL and LLM_MODEL are not both set, so no model can be asked", "llm_unset")
        if (left := self._rests_until - monotonic()) > 0:
            raise Transient(f"the model failed {self._failures} times in a row and is asked again in {left:.0f} s")
        try:
            completion = await self._call(self._session, system, user, max_tokens)
        except (Transient, RateLimited, Permanent) as error:
            self._note(error)
            raise
        self._failures = 0
        return completion

    def _note(self, error: Exception) -> None:
        # A model declines because of what one account's prompt says; that must not keep others from it.
        if getattr(error, "code", "") == REFUSED:
            return
        self._failures += 1
        self._rests_until = monotonic() + REST_SECONDS if self._failures >= MAX_FAILURES else 0.0

    async def _call(self, session: ClientSession, system: str, user: str, max_tokens: int) -> Completion:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        asked: dict[str, Any] = {"model": self._model, "messages": messages, "temperature": 0}
        asked |= {"max_tokens": max_tokens, "response_format": {"type": "json_object"}}
        try:
            async with (
                asyncio.timeout(self._timeout),
                failpoint("llm.complete"),
                session.post(self._url, headers=self._headers, json=asked, allow_redirects=False) as answer,
            ):
                body = await _body(answer)
        except InvalidURL:
            raise Permanent("LLM_BASE_URL is not a valid URL", "bad_url") from None
        except (ClientError, OSError, TimeoutError) as failure:
            raise Transient(f"the model does not answer: {type(failure).__name__}") from None
        _check_status(answer.status, answer.headers)
        return read_completion(body, estimate_tokens(system, user))


def estimate_tokens(*texts: str) -> int:
    """About how many tokens the texts are; rather too many than too few."""
    return sum(len(text) for text in texts) // CHARS_PER_TOKEN + 1


def read_completion(body: bytes, prompt_tokens: int) -> Completion:
    """The completion in an answer. Where the server does not say credibly what was used, that is estimated from the
    text and `prompt_tokens`.

    Raises: Transient when it holds no text, Permanent REFUSED when the model declined to answer.
    """
    try:
        message = json.loads(body)["choices"][0]["message"]
        text, refusal = message.get("content"), message.get("refusal")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise Transient("the model's answer is no chat completion") from None
    if refusal:
        raise Permanent("the model declines to answer", REFUSED)
    if not isinstance(text, str) or not text.strip():
        raise Transient("the model's answer holds no text")
    return Completion(text, max(_used(body), prompt_tokens // 2 + estimate_tokens(text) // 2))


def _used(body: bytes) -> int:
    usage = json.loads(body).get("usage")
    total = usage.get("total_tokens") if isinstance(usage, Mapping) else 0
    return total if isinstance(total, int) and not isinstance(total, bool) and 0 < total < 10_000_000 else 0


def _check_status(status: int, headers: Mapping[str, str]) -> None:
    if status == 429:
        raise RateLimited(retry_after(headers.get("Retry-After"), datetime.now(UTC)), "the model's limit is reached")
    if status >= 500 or status in (408, 409):
        raise Transient(f"the model's server says {status}")
    if status != 200:
        raise Permanent(f"the model's server refuses the call: {status}", f"http_{status}")


async def _body(answer: ClientResponse) -> bytes:
    """Raises: Transient when the answer is too large; what aiohttp raises when it breaks off."""
    body = bytearray()
    async for block in answer.content.iter_any():
        body += block
        if len(body) > MAX_ANSWER_BYTES:
            raise Transient(f"the model's answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)
