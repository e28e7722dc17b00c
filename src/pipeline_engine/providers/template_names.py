"""Finds the names in a template that no record can have: misspellings are refused before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from typing import Any

from jinja2 import nodes

Names = Mapping[str, AbstractSet[str] | None]
"""{variable of a template: the fields it can have}; None where it can have any."""

ALWAYS_THERE = {"loop", "self", "super", "caller", "varargs", "kwargs", "true", "false", "none"}
DICT_FUNCTIONS = {name for name in dir(dict) if not name.startswith("_")}


def known_names(known: Mapping[str, Iterable[str] | None], contexts: Iterable[Mapping[str, Any]]) -> Names:
    """The known names and those that any of the contexts has."""
    names: dict[str, set[str] | None] = {
        record: None if fields is None else {*fields} for record, fields in known.items()
    }
    for context in contexts:
        for record, value in context.items():
            fields = names.setdefault(record, set())
            if fields is not None and isinstance(value, Mapping):
                fields.update(value)
            else:
                names[record] = None
    return names


def find_unknown(tree: nodes.Template, names: Names) -> str | None:
    """What to say of the first name that no record can have; None when there is none.

    A name that the template makes itself, or for which it provides by `default` or `is defined`, is none.
    """
    own = ALWAYS_THERE | {*_made(tree)}
    provided = {*_provided(tree)}
    for record, field in _used(tree):
        if record in own or {(record, field), (record, None)} & provided:
            continue
        if record not in names:
            return f"unknown variable {record!r}{_nearest(record, names)}"
        fields = names[record]
        if field is not None and fields is not None and field not in fields | DICT_FUNCTIONS:
            return f"unknown variable {field!r} of {record}{_nearest(field, fields)}"
    return None


def named_fields(trees: Iterable[nodes.Template]) -> dict[str, list[str] | None]:
    """By variable, the fields of it that the templates name; None where one of them uses the variable as a whole."""
    found: dict[str, list[str] | None] = {}
    for tree in trees:
        fields = [one for one in tree.find_all((nodes.Getattr, nodes.Getitem)) if _is_field(one)]
        bases = {id(base) for one in fields for base in one.iter_child_nodes(only=["node"])}
        whole = [name for name in tree.find_all(nodes.Name) if name.ctx == "load" and id(name) not in bases]
        for record, field in (used for one in fields for used in _reference(one)):
            known = found.setdefault(record, [])
            if known is not None and field is not None and field not in known:
                known.append(field)
        found |= dict.fromkeys((name.name for name in whole), None)
    return found


def _is_field(node: nodes.Expr) -> bool:
    """Whether it names one field of a variable, and no function such as `items`, which sees all of them."""
    return any(field is not None and field not in DICT_FUNCTIONS for _, field in _reference(node))


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(known), n=1, cutoff=0.0)
    return f"; the nearest known name is {near[0]!r}" if near else ""


def _made(tree: nodes.Template) -> Iterator[str]:
    """The names that the template itself gives: of loops, `set`, macros and their parameters."""
    for name in tree.find_all(nodes.Name):
        if name.ctx != "load":
            yield name.name
    for macro in tree.find_all(nodes.Macro):
        yield macro.name


def _provided(tree: nodes.Template) -> Iterator[tuple[str, str | None]]:
    for one in tree.find_all((nodes.Filter, nodes.Test)):
        if one.name in ("default", "d", "defined", "undefined") and isinstance(one.node, nodes.Expr):
            yield from _reference(one.node)


def _used(tree: nodes.Template) -> Iterator[tuple[str, str | None]]:
    """(variable, field) in the order of the template; (variable, None) where it is used as a whole."""
    for name in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Name)):
        yield from _reference(name)


def _reference(node: nodes.Node) -> Iterator[tuple[str, str | None]]:
    if isinstance(node, nodes.Name) and node.ctx == "load":
        yield node.name, None
    elif isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        yield node.node.name, node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Name) and isinstance(node.arg, nodes.Const):
        yield node.node.name, node.arg.value if isinstance(node.arg.value, str) else None
