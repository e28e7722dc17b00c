"""What the process that asks for servers and their keeper say to each other: one JSON line each way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pipeline_engine.errors import ConfigError, EngineError, Unreachable

ERRORS: Mapping[str, type[EngineError]] = {kind.__name__: kind for kind in (ConfigError, Unreachable)}


@dataclass(frozen=True)
class Orders:
    """Which parts to run, what the environment gives already, where the data go (None: a folder that is removed)."""

    parts: list[str]
    given: dict[str, str]
    folder: str | None = None


@dataclass(frozen=True)
class Ready:
    """All parts answer. Where the data are, and the settings that point at the servers."""

    folder: str
    environment: dict[str, str]


def to_line(message: Orders | Ready | EngineError) -> bytes:
    """The message as one line; of an error its kind and its text."""
    if isinstance(message, EngineError):
        kind = "ConfigError" if isinstance(message, ConfigError) else "Unreachable"
        return json.dumps({"error": kind, "text": str(message)}).encode() + b"\n"
    return json.dumps(asdict(message)).encode() + b"\n"


def read_orders(line: bytes) -> Orders:
    return Orders(**json.loads(line))


def read_answer(line: bytes) -> Ready:
    """The keeper's answer; raises the error that it met. An empty line is a keeper that ended without a word."""
    if not line:
        raise Unreachable("The keeper of the embedded servers ended before they were ready; stderr says why.")
    answer = json.loads(line)
    if "error" in answer:
        raise ERRORS[answer["error"]](answer["text"])
    return Ready(**answer)
