"""The text of a mail, from its text part, its HTML part or both."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from email.message import Message

from pipeline_engine.domain.mail.decode_text import decode_text
from pipeline_engine.domain.mail.html_text import html_text

MAX_TEXT_BYTES = 100_000
MAX_HTML_BYTES = 1_000_000
MAX_PARTS = 200


def read_body(message: Message) -> str:
    """The text parts, or the first HTML part made readable where no text part says anything; at most 100 kB."""
    bodies = [part for part in parts(message) if is_body(part)]
    plain = filter(None, (_text(part).strip() for part in bodies if part.get_content_type() == "text/plain"))
    if text := "\n\n".join(plain):
        return cut(text)
    html = next((part for part in bodies if part.get_content_type() == "text/html"), None)
    return cut(html_text(decode_text(_payload(html)[:MAX_HTML_BYTES], _charset(html)))) if html else ""


def parts(message: Message) -> Iterator[Message]:
    """The mail's own parts in their order, at most 200; what is inside an attached mail is none of them."""
    open_parts, count = [message], 0
    while open_parts and count < MAX_PARTS:
        part = open_parts.pop()
        count += 1
        yield part
        if part.get_content_maintype() == "multipart":
            open_parts.extend(one for one in reversed(inner(part)))


def inner(part: Message) -> list[Message]:
    """The parts directly inside this one."""
    found = part.get_payload()
    return [one for one in found if isinstance(one, Message)] if isinstance(found, list) else []


def is_body(part: Message) -> bool:
    """Whether the part is text to read, not an attachment."""
    disposition = str(part.get("content-disposition", "")).lower()
    is_attached = disposition.startswith("attachment") or "filename" in disposition
    return part.get_content_type() in ("text/plain", "text/html") and not is_attached


def part_text(part: Message) -> str:
    """The part's text, cut to 100 kB; empty for a part that holds no text."""
    return cut(_text(part))


def cut(text: str) -> str:
    """The text, at most 100 kB of it in UTF-8, with no character cut in half."""
    return text.encode("utf-8", "replace")[:MAX_TEXT_BYTES].decode("utf-8", "ignore")


def _text(part: Message) -> str:
    return decode_text(_payload(part)[:MAX_TEXT_BYTES], _charset(part))


def _charset(part: Message) -> str | None:
    try:
        found = part.get_param("charset", None)
    except (ValueError, TypeError, IndexError):
        return None
    return found if isinstance(found, str) else None


def _payload(part: Message) -> bytes:
    try:
        found = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError, binascii.Error):
        found = None
    return found if isinstance(found, bytes) else b""
