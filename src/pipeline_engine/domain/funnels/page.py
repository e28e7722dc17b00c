"""A funnel's page, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["html", "components"]


@dataclass(frozen=True)
class Page:
    """Both texts as MongoDB stores them; either may be ''."""

    html: str
    components: str  # JSON, or whatever stands in its place


@dataclass(frozen=True)
class Mentions:
    """What a page mentions: those of the references asked for, the ids of all its forms, a chat widget."""

    references: frozenset[str]
    forms: frozenset[str]
    chat: bool


@dataclass(frozen=True)
class Left:
    """A reference that still stands in a rewritten page. `at` counts characters; where the reference is encoded, it is
    near rather than exact."""

    where: Part
    at: int
    reference: str


@dataclass(frozen=True)
class Rewritten:
    """`chat_set` is the number of chat widgets whose key was set. The page is whole only if nothing is left."""

    page: Page
    chat_set: int
    left: tuple[Left, ...]
