"""The one generator of mutations. Pure: the same document and the same `Random` make the same mutant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from bson import DBRef, ObjectId

from tests.support.fuzz.strangers import DATES, STRANGERS, TEXTS

Document = dict[str, Any]
Path = tuple[str | int, ...]

MAX_MUTATIONS = 3
OWN_SHARE = 0.5
"""How many mutations concern fields that only the engine writes."""
LEGACY_FLAGS = ("in_progress", "is_running")
"""Set without a lease, they mean that an older engine holds the document, for ten minutes."""
MAX_SHOWN = 80


class Absent:
    """In place of a value: the field is removed."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent()


@dataclass(frozen=True)
class Mutation:
    """`path` of one document gets `value`."""

    path: Path
    value: Any

    def __str__(self) -> str:
        text = repr(self.value)
        shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}... ({len(text)} characters)"
        return f"{'.'.join(map(str, self.path))} := {shown}"


def mutate(document: Document, own: Sequence[str], rng: Random) -> tuple[Document, list[Mutation]]:
    """A copy of the document with one to three mutations, and these. `own`: fields that only the engine writes."""
    mutant = deepcopy(document)
    mutations = []
    for _ in range(rng.choice((1, 1, 1, 2, MAX_MUTATIONS))):
        path = _path(mutant, own, rng)
        mutation = Mutation(path, _value(_get(mutant, path), path, rng))
        mutations.append(mutation)
        _set(mutant, mutation)
    return mutant, mutations


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Every field of the document, and every field and place below it."""
    below: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in below:
        yield (*at, name)
        yield from paths(inner, (*at, name))


def _path(document: Document, own: Sequence[str], rng: Random) -> Path:
    if own and rng.random() < OWN_SHARE:
        return tuple(rng.choice(list(own)).split("."))
    return rng.choice(list(paths(document)))


def _value(valid: Any, path: Path, rng: Random) -> Any:
    """A stranger, an extreme date, something large, the valid value in another shape, or nothing."""
    kind = rng.choices(("stranger", "date", "text", "size", "shape", "absent"), (40, 15, 10, 5, 20, 10))[0]
    values: dict[str, Callable[[], Any]] = {
        "stranger": lambda: _own_copy(rng.choice(STRANGERS)),
        "date": lambda: rng.choice(DATES),
        "text": lambda: rng.choice(TEXTS),
        "size": lambda: rng.choice(SIZES)(),
        "shape": lambda: rng.choice(SHAPES)(valid),
        "absent": lambda: ABSENT,
    }
    value = values[kind]()
    is_held = path[-1] in LEGACY_FLAGS and value not in (False, None)
    return [] if is_held or (value is ABSENT and path == ("_id",)) else value


def _own_copy(value: Any) -> Any:
    """The next mutation may change what is below it."""
    return deepcopy(value) if isinstance(value, dict | list) else value


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


SIZES: tuple[Callable[[], Any], ...] = (
    lambda: "x" * 100_000,
    lambda: "x" * 2_000_000,
    lambda: ["x"] * 20_000,
    lambda: {f"k{n}": n for n in range(5_000)},
    lambda: _nested(80),
    lambda: "x" * 16_770_000,  # beside the rest of the document, almost all that MongoDB takes
)
SHAPES: tuple[Callable[[Any], Any], ...] = (
    lambda valid: [valid],
    lambda valid: {"_id": valid, "name": "populated"},
    lambda valid: str(valid),
    lambda valid: DBRef("x", valid),
    lambda valid: [valid, valid, None],
    lambda valid: ObjectId(b"another one.") if isinstance(valid, ObjectId) else -1,
)


def _get(document: Any, path: Path) -> Any:
    for name in path:
        try:
            document = document[name]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _set(document: Any, mutation: Mutation) -> None:
    """Objects that are missing on the way are made; what is no object there is replaced by one."""
    for name, following in pairwise(mutation.path):
        inner = _get(document, (name,))
        if not isinstance(inner, list if isinstance(following, int) else dict):
            document[name] = inner = {}
        document = inner
    last = mutation.path[-1]
    if mutation.value is not ABSENT:
        document[last] = mutation.value
    elif isinstance(document, dict):
        document.pop(last, None)
    else:
        del document[last]
