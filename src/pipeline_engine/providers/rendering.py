"""Renders templates. Runs in a child process (`template_process.py`), because a tenant's template is a program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any

import msgspec
from jinja2 import Template, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from pipeline_engine.providers.empty_value import without_none
from pipeline_engine.providers.template_names import Names, find_unknown, known_names, named_fields
from pipeline_engine.providers.template_sandbox import SANDBOXES

MAX_TEMPLATE_CHARS = 256 * 1024
MAX_TEXT_CHARS = 128 * 1024  # of one rendered part
MAX_REASON_CHARS = 300
TOO_BIG = "needs more memory than a template may have"
TAG = re.compile(r"<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*+)[^<>]*+>")
HREF = re.compile(r"""\shref\s*+=\s*+["']?\s*+(https?:[^\s"'>]++)""", re.IGNORECASE)
INVISIBLE = {"script", "style", "title"}
BLOCKS = {"br", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "p", "table", "tr", "ul", "ol", "blockquote", "hr"}


class Batch(msgspec.Struct, frozen=True):
    """A template's parts (`subject`, `html`, `text`, …) and the contexts to render it with, one text each.

    `known`: by variable, the fields that a template may name whether or not a context has them; None: any field.
    `seconds`: processor time for one context; after `slice_seconds` for several of them, the rest is left.
    """

    parts: dict[str, str]
    contexts: list[dict[str, Any]]
    known: dict[str, list[str] | None] = {}
    seconds: float = 1.0
    slice_seconds: float = 1.0


class Filled(msgspec.Struct, frozen=True):
    """The texts rendered from one context, by part; or the error. `left`: this and all further contexts are left.

    `names`: the answer to a batch without contexts.
    """

    texts: dict[str, str] = {}
    error: str | None = None
    left: bool = False
    names: dict[str, list[str] | None] = {}


Templates = Mapping[str, Template]


def read(batch: Batch) -> Templates:
    """The parts of the template. Raises: TemplateRefused, also when it names what no record can have."""
    names = known_names(batch.known, batch.contexts)
    return {part: _compile(part, source, names) for part, source in batch.parts.items()}


def names_in(batch: Batch) -> dict[str, list[str] | None]:
    """By variable, the fields that the template names; None where it uses the variable as a whole."""
    if any(len(source) > MAX_TEMPLATE_CHARS for source in batch.parts.values()):
        return {}
    try:
        return named_fields([SANDBOXES[part == "html"].parse(source) for part, source in batch.parts.items()])
    except Exception:  # `read` refuses such a template, whatever the contexts have
        return {}


def fill(batch: Batch) -> Iterator[Filled]:
    """Yield one answer per context, in their order. See `fill_one`."""
    try:
        templates = read(batch)
    except TemplateRefused as refused:
        yield from [Filled(error=str(refused))] * len(batch.contexts)
        return
    for context in batch.contexts:
        yield fill_one(templates, context)


def fill_one(templates: Templates, context: dict[str, Any]) -> Filled:
    """The texts of one context.

    Values are escaped in the part `html` and nowhere else. With `html` but without `text`, the text is made from what
    the page shows.
    """
    try:
        return Filled(_texts(templates, without_none(context)))
    except TemplateRefused as refused:
        return Filled(error=str(refused))


class TemplateRefused(Exception):
    """A part of the template cannot be rendered, and why."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(f"the template's {part}: {reason}"[:MAX_REASON_CHARS])


def _compile(part: str, source: str, names: Names) -> Template:
    if len(source) > MAX_TEMPLATE_CHARS:
        raise TemplateRefused(part, f"longer than {MAX_TEMPLATE_CHARS} characters")
    sandbox = SANDBOXES[part == "html"]
    try:
        tree = sandbox.parse(source)
        unknown = find_unknown(tree, names)
        template = sandbox.from_string(tree)
    except TemplateSyntaxError as error:
        raise TemplateRefused(part, f"line {error.lineno}: {error.message}") from None
    except MemoryError:
        raise TemplateRefused(part, TOO_BIG) from None
    except Exception as error:  # for example a thousand brackets, too many for Python's parser
        raise TemplateRefused(part, f"cannot be read: {_named(error)}") from None
    if unknown:
        raise TemplateRefused(part, unknown)
    return template


def _texts(templates: Templates, context: dict[str, Any]) -> dict[str, str]:
    texts = {part: _text(part, template, context) for part, template in templates.items()}
    if texts.get("html") and not texts.get("text"):
        texts["text"] = visible_text(texts["html"])
    return texts


def _text(part: str, template: Template, context: dict[str, Any]) -> str:
    try:
        text = template.render(context)
    except UndefinedError as error:
        raise TemplateRefused(part, str(error)) from None
    except SecurityError as error:
        raise TemplateRefused(part, f"not allowed: {error}") from None
    except MemoryError:
        raise TemplateRefused(part, TOO_BIG) from None
    except Exception as error:  # the template's expressions can raise anything
        raise TemplateRefused(part, _named(error)) from None
    if len(text) > MAX_TEXT_CHARS:
        raise TemplateRefused(part, f"makes a text of more than {MAX_TEXT_CHARS} characters")
    return text


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def visible_text(html: str) -> str:
    """The words that a page shows, one line per block, with the targets of its links, in time proportional to the
    page's length."""
    words, at, hidden = [], 0, 0
    target, link = "", 0
    page = _without_comments(html)
    for tag in TAG.finditer(page):
        words.append("" if hidden else page[at : tag.start()].replace("\n", " "))
        at, name = tag.end(), tag["name"].lower()
        if name in INVISIBLE:
            hidden = max(0, hidden - 1) if tag["end"] else hidden + 1
        elif name in BLOCKS:
            words.append("\n")
        elif name == "a":
            if target and not hidden and target not in "".join(words[link:]):
                words.append(f" ({target})")
            found = HREF.search(tag[0])
            target, link = found[1] if found else "", len(words)
    words.append("" if hidden else page[at:].replace("\n", " "))
    lines = (" ".join(line.split()) for line in unescape("".join(words)).split("\n"))
    return "\n".join(line for line in lines if line) + "\n"


def _without_comments(html: str) -> str:
    before, *rest = html.split("<!--")
    return before + "".join(piece.partition("-->")[2] for piece in rest)
