"""How pages pass between the engine and the process that works on them: a head as msgpack, then the texts in pieces of
1 MB, because one large text would be encoded at one go and hold up the loop."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from pipeline_engine.domain.funnels.page import Left, Mentions

PIECE = 1024 * 1024  # characters

T = TypeVar("T")


class Look(msgspec.Struct, frozen=True, tag=True):
    references: list[str]


class Rewrite(msgspec.Struct, frozen=True, tag=True):
    replacements: dict[str, str]
    chat_key: str | None


class Request(msgspec.Struct, frozen=True):
    """What to do, and how many pieces of html and of components follow."""

    work: Look | Rewrite
    html: int
    components: int


class Answer(msgspec.Struct, frozen=True):
    """Neither mentions nor what was rewritten: there was too little memory."""

    mentions: Mentions | None = None
    rewritten: tuple[int, tuple[Left, ...]] | None = None
    html: int = 0
    components: int = 0


encoded = msgspec.msgpack.Encoder().encode


def decoded(message: bytes, kind: type[T]) -> T:
    return msgspec.msgpack.decode(message, type=kind)


def pieces(text: str) -> list[str]:
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
