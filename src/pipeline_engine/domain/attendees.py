"""Who comes to a meeting, by e-mail address. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def attendees_of(event: Mapping[str, Any]) -> list[str]:
    """The e-mail addresses of the attendees in lower case, each once. The CRM may store them as objects."""
    listed = event.get("attendees")
    found = [_address(one) for one in listed[:200]] if isinstance(listed, list) else []
    return list(dict.fromkeys(address for address in found if address))


def _address(attendee: object) -> str:
    text = attendee.get("email") if isinstance(attendee, Mapping) else attendee
    return text.strip().lower() if isinstance(text, str) and "@" in text else ""
