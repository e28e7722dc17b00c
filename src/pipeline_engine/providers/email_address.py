"""Reads one e-mail address into the form that every mail server accepts."""

from __future__ import annotations

import re

import idna

from pipeline_engine.errors import Permanent

MAX_CHARS = 254
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
SHAPE = re.compile(rf"{ATOM}(?:\.{ATOM})*@(?:{LABEL}\.)+{LABEL}", re.ASCII)


def read_email_address(given: object) -> str:
    """The address in plain ASCII. A domain in another script becomes `xn--…`, so that lookalikes show.

    Raises: Permanent (`bad_address`) for anything but exactly one address. The message does not quote it.
    """
    text = given.strip() if isinstance(given, str) else ""
    address = _in_ascii(text) if len(text) <= MAX_CHARS else None
    if address is None or len(address) > MAX_CHARS or not SHAPE.fullmatch(address):
        raise Permanent("the contact's e-mail address is not a valid address", "bad_address")
    return address


def _in_ascii(text: str) -> str | None:
    """By IDNA 2008. Python's own `idna` is of 2003, which makes `fass.de`, another owner's domain, of `faß.de`."""
    if text.isascii():
        return text
    mailbox, _, domain = text.rpartition("@")
    try:
        return f"{mailbox}@{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        return None
