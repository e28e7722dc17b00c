"""Who may be written to: a valid address or telephone number that is not suppressed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.messages.addresses import address_hash, normal_address, spellings_of
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.email_address import read_email_address
from pipeline_engine.providers.phone_number import read_phone_number
from pipeline_engine.repos.messages import Channel

READ: dict[Channel, Callable[[object], str]] = {"email": read_email_address, "sms": read_phone_number}
NAMES: dict[Channel, str] = {"email": "e-mail address", "sms": "telephone number"}


async def recipients(
    app: App, account_id: ObjectId, channel: Channel, given: Sequence[object], country: object = None
) -> list[str | Permanent]:
    """For each given value, in their order, the address to write to, or why there is none: it is missing, malformed or
    suppressed. No reason repeats the address. `country`: the account's, for national telephone numbers."""
    addresses = [_read(channel, one) for one in given]
    hashes = [_hash(app, channel, one, country) for one in addresses]
    spellings = [
        _spellings(channel, address, original, country) for address, original in zip(addresses, given, strict=True)
    ]
    found = await app.shared.suppressions.suppressed(account_id, channel, set().union(*spellings), set().union(*hashes))
    suppressed = {_bare(channel, one) for one in found} | found
    refusal = _refusal(channel, "is suppressed", "suppressed")
    known = zip(addresses, spellings, hashes, strict=True)
    return [refusal if (own | hash) & suppressed else address for address, own, hash in known]


def _read(channel: Channel, given: object) -> str | Permanent:
    if given is None or given == "":
        return _refusal(channel, "is missing", "missing_address")
    try:
        return READ[channel](given)
    except Permanent as refusal:
        return refusal


def _spellings(channel: Channel, address: str | Permanent, given: object, country: object) -> set[str]:
    """The spellings under which it may be suppressed: as the engine writes to it, as the record has it, and all usual
    ones; numbers without separators, which the look-up ignores."""
    if isinstance(address, Permanent):
        return set()
    normal = normal_address(channel, address, country)
    usual = {address.lower(), str(given).strip().lower(), *spellings_of(channel, normal, country)}
    return {_bare(channel, one) for one in usual}


def _bare(channel: Channel, address: str) -> str:
    return "".join(char for char in address if char.isdigit() or char == "+") if channel == "sms" else address


def _hash(app: App, channel: Channel, address: str | Permanent, country: object) -> set[str]:
    if isinstance(address, Permanent):
        return set()
    return {address_hash(app.recipients_key, normal_address(channel, address, country))}


def _refusal(channel: Channel, what: str, code: str) -> Permanent:
    return Permanent(f"the contact's {NAMES[channel]} {what}", code)
