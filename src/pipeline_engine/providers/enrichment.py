"""What Apollo.io knows about people, by their e-mail addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from pipeline_engine import logs
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.web_api import WebApi

BASE_URL = "https://api.apollo.io/api/v1"
MAX_PEOPLE = 10
"""Of one call, by Apollo's rule."""
MAX_VALUE_CHARS = 500
TIMEOUT = 30.0


@dataclass(frozen=True)
class Person:
    """What is known about one person; None where nothing is."""

    company: str | None = None
    title: str | None = None
    phone: str | None = None

    @property
    def known(self) -> dict[str, str]:
        """{field of a contact: value} of what is known."""
        return {name: value for name, value in vars(self).items() if value}


class Enrichment:
    """The Apollo account of APOLLO_API_KEY: `async with Enrichment(...) as enrichment`."""

    def __init__(self, api_key: str | None, base_url: str | None = None, timeout: float = TIMEOUT) -> None:
        logs.hide_secrets(api_key or "")
        self._key = api_key
        self._url = f"{(base_url or BASE_URL).rstrip('/')}/people/bulk_match"
        self._api = WebApi("Apollo", timeout)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._api)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def match(self, emails: Sequence[str]) -> list[Person | None]:
        """What is known about each of at most ten people, in their order; None about whom nothing is.

        Raises: RateLimited, Transient; Permanent when Apollo refuses the call or the key. None quotes an address.
        """
        if not self._key:
            raise Permanent("APOLLO_API_KEY is not set, so no contact can be enriched", "apollo_unset")
        headers = {"x-api-key": self._key, "Accept": "application/json", "Cache-Control": "no-cache"}
        sent = (self._key, *emails)
        details = [{"email": email} for email in emails]
        answer = await self._api.call("POST", self._url, sent, headers=headers, json={"details": details})
        matches = self._api.accepted(answer, sent).get("matches")
        found = in_order(matches, emails) if isinstance(matches, list) else None
        if found is None:
            raise Transient(f"Apollo answers with other than {len(emails)} matches")
        return [read_person(one) for one in found]


def in_order(matches: Sequence[object], emails: Sequence[str]) -> list[object] | None:
    """The matches in the order of the addresses, None for a person who is not found. An answer with fewer matches
    than addresses is read by the addresses that it names; None when it does not name one of each."""
    if len(matches) == len(emails):
        return [*matches]
    named = {_address(one): one for one in matches if one is not None}
    asked = [email.casefold() for email in emails]
    return [named.get(email) for email in asked] if named.keys() <= {*asked} else None


def _address(match: object) -> str:
    email = match.get("email") if isinstance(match, Mapping) else None
    return email.casefold() if isinstance(email, str) else ""


def read_person(match: object) -> Person | None:
    """The person of one match; None where Apollo found no person, or nothing that a contact has a field for."""
    if not isinstance(match, Mapping):
        return None
    organization = match.get("organization")
    company = organization.get("name") if isinstance(organization, Mapping) else None
    person = Person(
        _text(company) or _text(match.get("organization_name")), _text(match.get("title")), next(_phones(match), None)
    )
    return person if person.known else None


def _phones(match: Mapping[str, Any]) -> Iterator[str]:
    """The person's own numbers, best first. The number of the organization is left out: it is a switchboard's."""
    contact = match.get("contact")
    for holder in (match, contact if isinstance(contact, Mapping) else {}):
        numbers = holder.get("phone_numbers")
        for one in numbers if isinstance(numbers, list) else ():
            if isinstance(one, Mapping) and (number := _text(one.get("sanitized_number") or one.get("raw_number"))):
                yield number
        if number := _text(holder.get("sanitized_phone") or holder.get("phone")):
            yield number


def _text(value: object) -> str | None:
    """The value as one line of text; None where it is empty, too long or no text."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text if 0 < len(text) <= MAX_VALUE_CHARS and text.isprintable() else None
