"""The headers of one mail, or of one part, read without an error however they are written."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime

from pipeline_engine.domain.mail.decode_text import header_text
from pipeline_engine.domain.mail.mail_address import MailAddress, read_addresses, words

MAX_HEADER_CHARS = 16_000
MAX_TEXT_CHARS = 2_000
MAX_REFERENCES = 200
BARE_ID = re.compile(r"[^\s<>@]{1,120}@[^\s<>@]{1,120}")
"""Some programs forget the brackets."""
MESSAGE_ID = re.compile(r"<[^\s<>]{1,250}>")


class MailHeaders:
    """Every value is cut to 16,000 characters; of a header that stands there twice the first counts."""

    def __init__(self, message: Message) -> None:
        self._values: dict[str, str] = {}
        for name, value in message.raw_items():
            self._values.setdefault(name.lower(), header_text(str(value)[:MAX_HEADER_CHARS]).strip())

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def raw(self, name: str) -> str:
        """The value as it is written, or nothing. `name` is in lower case."""
        return self._values.get(name, "")

    def text(self, name: str) -> str:
        """The value with its encoded words decoded."""
        return words(self.raw(name)[:MAX_TEXT_CHARS])

    def word(self, name: str) -> str:
        """The value up to a semicolon or comment, in lower case."""
        return re.split(r"[;(]", self.raw(name), maxsplit=1)[0].strip().lower()

    def ids(self, *names: str) -> tuple[str, ...]:
        """The Message-IDs in these headers with their brackets, each once: the first, and the newest of the rest."""
        found = list(dict.fromkeys(one for name in names for one in _ids(self.raw(name))))
        return tuple(found if len(found) <= MAX_REFERENCES else [found[0], *found[1 - MAX_REFERENCES :]])

    def addresses(self, name: str) -> tuple[MailAddress, ...]:
        return read_addresses(self.raw(name))

    def date(self) -> datetime | None:
        """When the mail says that it was written, in UTC; None if it says nothing that can be read."""
        return _moment(self.raw("date")) or self.received()

    def received(self) -> datetime | None:
        """When the last server on its way says that it took the mail in, in UTC; None if it says nothing that can be
        read."""
        return _moment(self.raw("received").rpartition(";")[2])


def _ids(value: str) -> list[str]:
    return [f"<{value}>"] if BARE_ID.fullmatch(value) else MESSAGE_ID.findall(value)


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text[:100])
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.astimezone(UTC) if 1970 <= aware.year <= 9000 else None
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
