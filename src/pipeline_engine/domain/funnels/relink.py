"""Makes values that are no pages lead to the clone: fields of steps and forms, and what records say of images.

The page process rewrites their strings, as it rewrites pages: a tenant may have stored anything in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.page import Page
from pipeline_engine.domain.funnels.pages import rewrite
from pipeline_engine.ids import object_id

T = TypeVar("T")


async def relink(app: App, value: T, replacements: Mapping[str, str]) -> tuple[T, list[str]]:
    """The value with every reference replaced, and the references of which something is left.

    References count as ObjectId and in strings, in whatever encoding. A string that is a reference and nothing else
    becomes the new one as it is. Raises: as `look`.
    """
    written = await rewrite(app, page_of(value), replacements, None)
    texts = iter(json.loads(written.page.components))
    return _refilled(value, texts, replacements), sorted({one.reference for one in written.leftovers})


def page_of(value: object) -> Page:
    """The strings of the value as the components of a page. Pure."""
    return Page("", json.dumps(list(_texts(value)), ensure_ascii=False))


def _refilled(value: Any, texts: Iterator[str], replacements: Mapping[str, str]) -> Any:
    """The value with its strings replaced, in order, by these texts, and its ObjectIds by those of the clone. Pure."""
    if isinstance(value, dict):
        return {name: _refilled(one, texts, replacements) for name, one in value.items()}
    if isinstance(value, list):
        return [_refilled(one, texts, replacements) for one in value]
    if isinstance(value, ObjectId):
        return object_id(replacements.get(str(value))) or value
    if type(value) is not str:
        return value
    text = next(texts)
    return replacements.get(value, text)


def _texts(value: object) -> Iterator[str]:
    """The strings at any depth, in order. Code is a kind of `str` and stays as it is."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)
    elif type(value) is str:
        yield value
