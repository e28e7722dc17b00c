"""Fills templates in. Runs in a process of its own (`template_process.py`): what a tenant writes is a program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any

import msgspec
from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST_TEMPLATE = 256 * 1024  # characters
LONGEST_TEXT = 128 * 1024  # characters of one text made from it
LONGEST_REASON = 300  # characters
TOO_BIG = "needs more memory than a template may have"
TAG = re.compile(r"<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*+)[^<>]*+>")
UNSEEN = {"script", "style", "title"}
BLOCKS = {"br", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "p", "table", "tr", "ul", "ol", "blockquote", "hr"}


class Batch(msgspec.Struct, frozen=True):
    """A template in its parts (`subject`, `html`, `text`, …) and the data for each time it is to be filled in."""

    parts: dict[str, str]
    contexts: list[dict[str, Any]]


class Filled(msgspec.Struct, frozen=True):
    """The texts made from one context, by part; or why there are none."""

    texts: dict[str, str] = {}
    error: str | None = None


class Unknown(StrictUndefined):
    """Says which variable it is, in the words of whoever wrote the template."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        return self._undefined_hint or f"unknown variable {self._undefined_name!r}"


class Sandbox(ImmutableSandboxedEnvironment):
    """No globals, no loader; what is in the data comes before Python's own attributes of a dictionary."""

    def __init__(self, autoescape: bool) -> None:
        super().__init__(undefined=Unknown, autoescape=autoescape, finalize=_nothing_for_none)
        self.globals.clear()

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def _nothing_for_none(value: Any) -> Any:
    return "" if value is None else value


SANDBOXES = {True: Sandbox(autoescape=True), False: Sandbox(autoescape=False)}


def fill(batch: Batch) -> Iterator[Filled]:
    """One answer per context, in their order. The part `html` is escaped as HTML, the others are plain; where there is
    `html` but no `text`, the text is what a reader of the page would see."""
    try:
        templates = {part: _compile(part, source) for part, source in batch.parts.items()}
    except Refused as refused:
        yield from [Filled(error=str(refused))] * len(batch.contexts)
        return
    for context in batch.contexts:
        try:
            yield Filled(_texts(templates, context))
        except Refused as refused:
            yield Filled(error=str(refused))


class Refused(Exception):
    """Why a template cannot be filled in."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(f"the template's {part}: {reason}"[:LONGEST_REASON])


def _compile(part: str, source: str) -> Template:
    if len(source) > LONGEST_TEMPLATE:
        raise Refused(part, f"longer than {LONGEST_TEMPLATE} characters")
    try:
        return SANDBOXES[part == "html"].from_string(source)
    except TemplateSyntaxError as error:
        raise Refused(part, f"line {error.lineno}: {error.message}") from None
    except MemoryError:
        raise Refused(part, TOO_BIG) from None
    except Exception as error:  # a thousand brackets, for one, are too much for Python itself
        raise Refused(part, f"cannot be read: {_told(error)}") from None


def _texts(templates: Mapping[str, Template], context: dict[str, Any]) -> dict[str, str]:
    texts = {part: _text(part, template, context) for part, template in templates.items()}
    if texts.get("html") and not texts.get("text"):
        texts["text"] = visible_text(texts["html"])
    return texts


def _text(part: str, template: Template, context: dict[str, Any]) -> str:
    try:
        text = template.render(context)
    except UndefinedError as error:
        raise Refused(part, str(error)) from None
    except SecurityError as error:
        raise Refused(part, f"not allowed: {error}") from None
    except MemoryError:
        raise Refused(part, TOO_BIG) from None
    except Exception as error:  # whatever the template's own expressions come to
        raise Refused(part, _told(error)) from None
    if len(text) > LONGEST_TEXT:
        raise Refused(part, f"makes a text of more than {LONGEST_TEXT} characters")
    return text


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def visible_text(html: str) -> str:
    """The words of a page, a line per block. Takes time in proportion to its length, whatever it is."""
    words, at, hidden = [], 0, 0
    page = _without_comments(html)
    for tag in TAG.finditer(page):
        words.append("" if hidden else page[at : tag.start()].replace("\n", " "))
        at, name = tag.end(), tag["name"].lower()
        if name in UNSEEN:
            hidden = max(0, hidden - 1) if tag["end"] else hidden + 1
        elif name in BLOCKS:
            words.append("\n")
    words.append("" if hidden else page[at:].replace("\n", " "))
    lines = (" ".join(line.split()) for line in unescape("".join(words)).split("\n"))
    return "\n".join(line for line in lines if line) + "\n"


def _without_comments(html: str) -> str:
    before, *rest = html.split("<!--")
    return before + "".join(piece.partition("-->")[2] for piece in rest)
