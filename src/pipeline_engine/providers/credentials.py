"""Passwords and tokens at rest: encrypted by Fernet under the keys of CREDENTIALS_KEYS, newest first.

A sealed value is `fernet:` followed by the token, so that it differs from every plain value that the CRM stores. Each
is bound to the document it was made for: copied into another one, it cannot be opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pipeline_engine import logs
from pipeline_engine.errors import ConfigError, Permanent
from pipeline_engine.ids import fingerprint

MARK = "fernet:"
UNREADABLE = "credentials_key"
"""The error code of a value that no key of CREDENTIALS_KEYS opens."""


class Credentials:
    """Seals and opens values. Without keys everything stays plain."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Raises: ConfigError when a key is none."""
        logs.hide_secrets(*keys)
        try:
            fernets = [Fernet(key) for key in keys]
        except ValueError:
            raise ConfigError(
                "CREDENTIALS_KEYS: given (not shown): each key must be 32 bytes in URL-safe base64, "
                "as `Fernet.generate_key()` returns them"
            ) from None
        self._all = MultiFernet(fernets) if fernets else None
        self._newest = fernets[0] if fernets else None
        self.key_id = fingerprint("credentials key", keys[0], size=6).hex() if fernets else ""
        """Names the newest key without giving it away; '' without keys."""

    @property
    def has_keys(self) -> bool:
        """Whether values are encrypted."""
        return self._newest is not None

    def seal(self, value: str, owner: object) -> str:
        """The value as it is stored in the document with the id `owner`: encrypted, or as it is without keys."""
        if self._newest is None:
            return value
        content = json.dumps([str(owner), value]).encode()
        return MARK + self._newest.encrypt(content).decode()

    def open(self, stored: object, owner: object) -> str:
        """The plain value of what the document `owner` holds; '' where it holds no text.

        Raises: Permanent UNREADABLE when it was sealed for another document, or with a key that is not among ours.
        """
        if not isinstance(stored, str) or not is_sealed(stored):
            return stored if isinstance(stored, str) else ""
        if self._all is None:
            raise Permanent("the credential is encrypted, and CREDENTIALS_KEYS is not set", UNREADABLE)
        try:
            content = json.loads(self._all.decrypt(stored.removeprefix(MARK)))
        except (InvalidToken, ValueError):
            raise Permanent("no key of CREDENTIALS_KEYS opens the credential", UNREADABLE) from None
        if not (isinstance(content, list) and len(content) == 2 and content[0] == str(owner)):
            raise Permanent("the credential was encrypted for another document", UNREADABLE)
        return str(content[1])

    def sealed_again(self, document: Mapping[str, Any], fields: Sequence[str]) -> dict[str, str]:
        """{field: value to store} of those of the document's fields that are encrypted, under the newest key.

        Raises: as `open`.
        """
        sealed = {name: value for name in fields if is_sealed(value := document.get(name))}
        return {name: self.seal(self.open(value, document["_id"]), document["_id"]) for name, value in sealed.items()}


def is_sealed(stored: object) -> bool:
    """Whether the value is encrypted, with whatever key."""
    return isinstance(stored, str) and stored.startswith(MARK)
