"""Who may be written to: a valid address or number that is not suppressed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.suppressions import Channel

WHAT = {"email": "e-mail address", "sms": "telephone number"}


async def recipients(
    app: App, account_id: ObjectId, channel: Channel, given: Sequence[object], read: Callable[[object], str]
) -> list[str | Permanent]:
    """For each given value the address to write to, or why there is none. No message repeats an address."""
    read_ones = [_read(channel, one, read) for one in given]
    names = [_names(one, original) for one, original in zip(read_ones, given, strict=True)]
    suppressed = await app.shared.suppressions.among(account_id, channel, set().union(*names))
    refusal = _refusal(channel, "is suppressed", "suppressed")
    return [refusal if names_of & suppressed else one for one, names_of in zip(read_ones, names, strict=True)]


def _read(channel: Channel, given: object, read: Callable[[object], str]) -> str | Permanent:
    if given is None or given == "":
        return _refusal(channel, "is missing", "missing_address")
    try:
        return read(given)
    except Permanent as refusal:
        return refusal


def _names(address: str | Permanent, given: object) -> set[str]:
    """Under which names it may be suppressed: as it is written to, and as the contact has it."""
    return {address.lower(), str(given).strip().lower()} if isinstance(address, str) else set()


def _refusal(channel: Channel, what: str, code: str) -> Permanent:
    return Permanent(f"the contact's {WHAT[channel]} {what}", code)
