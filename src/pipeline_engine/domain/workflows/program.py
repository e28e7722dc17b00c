"""The steps of a workflow as a list, with branches as jumps; read from what the CRM wrote, and checked. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipeline_engine.domain.workflows.step import StepConfig, WorkflowStep, step_key
from pipeline_engine.domain.workflows.steps.branch import Branching
from pipeline_engine.domain.workflows.steps.table import ALIASES, STEP_TYPES
from pipeline_engine.errors import Permanent

MAX_STEPS = 200
MAX_DEPTH = 10
BAD_WORKFLOW = "bad_workflow"

Program = tuple[WorkflowStep, ...]


@dataclass(frozen=True)
class _Node:
    """A step that was read, with the parts of a branch."""

    number: int
    path: str
    type: str
    config: StepConfig
    key: str
    parts: tuple[tuple[_Node, ...], tuple[_Node, ...]]


def read_program(raw: object) -> Program:
    """The steps in the order in which they are written, those of `then` and `else` behind their branch.

    Raises: Permanent `bad_workflow` that names the step, the option, and what is allowed.
    """
    reader = _Reader()
    nodes = reader.read(raw, "", MAX_DEPTH)
    return tuple(sorted(_linked(nodes, reader.count), key=lambda step: step.number))


def _linked(nodes: Sequence[_Node], end: int) -> Iterator[WorkflowStep]:
    """The steps with their jumps; `end` is the number of what comes behind the last of them."""
    for place, node in enumerate(nodes):
        behind = nodes[place + 1].number if place + 1 < len(nodes) else end
        then, otherwise = (part[0].number if part else behind for part in node.parts)
        yield WorkflowStep(node.number, node.path, node.type, node.config, node.key, then, otherwise)
        for part in node.parts:
            yield from _linked(part, behind)


class _Reader:
    """Numbers the steps in the order in which it reads them."""

    def __init__(self) -> None:
        self.count = 0
        self._equal: Counter[str] = Counter()

    def read(self, raw: object, prefix: str, depth: int) -> tuple[_Node, ...]:
        name = f"steps {prefix.rstrip('.')}".strip()
        if not isinstance(raw, list | tuple):
            raise _refused(name, "a list is wanted")
        if depth == 0:
            raise _refused(name, f"branches are nested deeper than {MAX_DEPTH - 1} levels")
        return tuple(self._node(one, f"{prefix}{place}", depth) for place, one in enumerate(raw, 1))

    def _node(self, raw: object, path: str, depth: int) -> _Node:
        number, self.count = self.count, self.count + 1
        if number >= MAX_STEPS:
            raise _refused("steps", f"there are more than {MAX_STEPS}")
        type, given, config = _config(raw, path)
        content = step_key(type, given, 0)
        self._equal[content] += 1
        key = step_key(type, given, self._equal[content])
        parts: tuple[tuple[_Node, ...], tuple[_Node, ...]] = ((), ())
        if isinstance(config, Branching):
            then = self.read(config.then, f"{path}.then.", depth - 1)
            parts = (then, self.read(config.otherwise, f"{path}.else.", depth - 1))
        return _Node(number, path, type, config, key, parts)


def _config(raw: object, path: str) -> tuple[str, object, StepConfig]:
    """Type, configuration as it is written, and configuration as it was read."""
    if not isinstance(raw, Mapping):
        raise _refused(f"step {path}", "an object with type and config is wanted")
    type = raw.get("type")
    type = ALIASES.get(type, type) if isinstance(type, str) else type
    name = f"step {path} ({type})"
    kind = STEP_TYPES.get(type) if isinstance(type, str) else None
    if kind is None:
        raise _refused(name, f"no such type of step; allowed: {', '.join(STEP_TYPES)}")
    given = raw.get("config") if raw.get("config") is not None else {}
    if not isinstance(given, Mapping):
        raise _refused(name, "config: an object is wanted")
    try:
        config = kind.config.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        raise _refused(name, _first(error)) from None
    except Permanent as error:
        raise _refused(name, str(error)) from None
    return str(type), given, config


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, without the value, which may be private."""
    one: Any = error.errors(include_url=False, include_input=False)[0]
    option = ".".join(map(str, one["loc"]))
    words = {"missing": "it is missing", "extra_forbidden": "no such option"}
    message = words.get(one["type"], str(one["msg"]).removeprefix("Value error, "))
    return f"{option}: {message}" if option else message


def _refused(name: str, why: str) -> Permanent:
    return Permanent(f"{name}: {why}", BAD_WORKFLOW)


def step_at(program: Sequence[WorkflowStep], enrollment: Mapping[str, Any]) -> WorkflowStep | None:
    """The step at which an enrolment stands; None behind the last one.

    Raises: Permanent when what stands in `step` is no number.
    """
    number = enrollment.get("step", 0)
    if isinstance(number, bool) or not isinstance(number, int | float) or number < 0 or number % 1:
        raise Permanent("the enrolment's `step` is no whole number of at least 0", "bad_enrollment")
    return program[int(number)] if number < len(program) else None
