"""What of a server's reply may be stored and logged: no secret, and nothing of what the call itself had sent."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from pipeline_engine import logs

MAX_QUOTED_CHARS = 300
MAX_SCANNED_CHARS = 1024  # of a reply; what comes later is dropped unread
MAX_PRIVATE_CHARS = 64 * 1024  # of each text that was sent
MIN_WHOLE_CHARS = 6  # a shorter text could be any word of the reply
RUN_CHARS = 10  # any piece of a text that is at least 19 characters long holds a run that is aligned in the reply
PHONE = re.compile(r"\+?\d[\d ().-]{5,18}\d")
PHONE_DIGITS = 7  # the last digits of a number, by which it is found in any spelling


def quote_reply(reply: object, sent: Iterable[str] = ()) -> str:
    """At most 300 characters of a reply, without secrets and without what was `sent`, whole or in longer pieces.

    Whatever is raised or stored about a reply goes through here; the exceptions of libraries quote replies as well,
    so they are not kept as the cause of ours.
    """
    text = str(reply)[:MAX_SCANNED_CHARS]
    for private in sent:
        for form in _forms(private[:MAX_PRIVATE_CHARS], text):
            text = _without(text, form)
    return logs.clean(text)[:MAX_QUOTED_CHARS]


def _forms(private: str, reply: str) -> Iterator[str]:
    """The text as it was sent, and as replies spell it when they show signs of it."""
    yield private
    if "%" in reply or "+" in reply:
        yield from (quote(private), quote_plus(private))
    if "\\" in reply:
        yield json.dumps(private)[1:-1]
        yield json.dumps(private, ensure_ascii=False)[1:-1]
    if "&" in reply:
        yield html.escape(private)


def _without(reply: str, private: str) -> str:
    if PHONE.fullmatch(private):
        reply = _phone(private).sub(logs.HIDDEN, reply)
    if len(private) >= MIN_WHOLE_CHARS:
        reply = re.sub(re.escape(private), logs.HIDDEN, reply, flags=re.IGNORECASE) if private else reply
    return _without_pieces(reply, private) if len(private) > RUN_CHARS else reply


def _phone(number: str) -> re.Pattern[str]:
    last = re.sub(r"\D", "", number)[-PHONE_DIGITS:]
    return re.compile(r"(?:\+?\d[\d\s().-]{0,12})?" + r"[\s().-]{0,3}".join(last))


def _without_pieces(reply: str, private: str) -> str:
    """Look for every tenth piece of ten characters, and let a found one grow to both sides."""
    at = 0
    while at + RUN_CHARS <= len(reply):
        start, end = at, at + RUN_CHARS
        if not reply[start:end].isspace() and reply[start:end] in private:
            while start > 0 and reply[start - 1 : start - 1 + RUN_CHARS] in private:
                start -= 1
            while end < len(reply) and reply[end + 1 - RUN_CHARS : end + 1] in private:
                end += 1
            reply = reply[:start] + logs.HIDDEN + reply[end:]
            at = start + len(logs.HIDDEN)
        else:
            at += RUN_CHARS
    return reply
