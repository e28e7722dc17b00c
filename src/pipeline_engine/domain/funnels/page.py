"""A funnel's page, and the messages about it between the engine (`pages`) and the page process (`page_process`).

Each message is a head as msgpack, then the page's texts in pieces: encoding one large text at once would block the
engine's event loop. The page process imports this module, so it imports nothing of the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec

PIECE_CHARACTERS = 1024 * 1024

Part = Literal["html", "components"]

T = TypeVar("T")


@dataclass(frozen=True)
class Page:
    """Both texts as MongoDB stores them; either may be ''."""

    html: str
    components: str  # JSON, or whatever the tenant stored in its place


@dataclass(frozen=True)
class Mentions:
    """What a page mentions: those of the references asked for, the ids of all its forms, a chat widget.

    `ids` are other ids and `hidden` those in base64 alone; each may be the id of a form, or of anything else. With
    `more`, the page has too many of them: those at its end are not among these.
    """

    references: frozenset[str]
    forms: frozenset[str]
    chat: bool
    ids: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    more: bool = False


@dataclass(frozen=True)
class Leftover:
    """A reference that a rewritten page still contains; a `trace` contains the mark of one, or one in base64.

    `at` counts characters. It is exact for a plain reference and close for an encoded one.
    """

    part: Part
    at: int
    reference: str
    trace: bool = False


@dataclass(frozen=True)
class RewrittenPage:
    """`chat_set` is the number of chat widgets whose key was set. The page is usable if all leftovers are traces."""

    page: Page
    chat_set: int
    leftovers: tuple[Leftover, ...]


class FindMentions(msgspec.Struct, frozen=True, tag=True):
    references: list[str]


class RewritePage(msgspec.Struct, frozen=True, tag=True):
    replacements: dict[str, str]
    chat_key: str | None
    traced: list[str] = []  # of these, only traces are looked for


class PageRequest(msgspec.Struct, frozen=True):
    """What to do, and how many pieces of html and of components follow."""

    work: FindMentions | RewritePage
    html: int
    components: int


class PageAnswer(msgspec.Struct, frozen=True):
    """The result, and how many pieces of html and of components follow. Without a result, memory was too small."""

    mentions: Mentions | None = None
    rewritten: tuple[int, tuple[Leftover, ...]] | None = None
    html: int = 0
    components: int = 0


encode = msgspec.msgpack.Encoder().encode


def decode(message: bytes, kind: type[T]) -> T:
    return msgspec.msgpack.decode(message, type=kind)


def pieces(text: str) -> list[str]:
    return [text[at : at + PIECE_CHARACTERS] for at in range(0, len(text), PIECE_CHARACTERS)]


def encode_piece(piece: str) -> bytes:
    return piece.encode(errors="surrogatepass")


def decode_piece(piece: bytes) -> str:
    return piece.decode(errors="surrogatepass")
