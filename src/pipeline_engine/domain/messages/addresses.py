"""One spelling for every way to write an address, and a keyed hash by which the address is known when it was deleted.
Pure."""

from __future__ import annotations

import hmac

from pipeline_engine.providers.phone_number import international_number, phone_spellings
from pipeline_engine.repos.messages import Channel

HASH_CHARS = 40


def normal_address(channel: Channel, address: str, country: object = None) -> str:
    """An e-mail address in lower case; a telephone number in E.164, a national one as of `country`. `address` as
    `recipients` returns it."""
    if channel == "email":
        return address.lower()
    return international_number(address, country if isinstance(country, str) else None)


def address_hash(key: bytes, normal: str) -> str:
    """A hash of a normal address that only the holder of the key can make or check."""
    return hmac.digest(key, b"address\0" + normal.encode(), "sha256").hex()[:HASH_CHARS]


def spellings_of(channel: Channel, address: str, country: object = None) -> list[str]:
    """The spellings under which records of an account in `country` may have the address."""
    return sorted({address, address.lower()}) if channel == "email" else phone_spellings(address, country)
