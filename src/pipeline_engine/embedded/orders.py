"""The messages between the process that asks for servers and their keeper: one JSON line each way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pipeline_engine.errors import ConfigError, EngineError, Unreachable

ERRORS: Mapping[str, type[EngineError]] = {kind.__name__: kind for kind in (ConfigError, Unreachable)}


@dataclass(frozen=True)
class Orders:
    """The parts to run, the settings of servers that run elsewhere, the data folder (None: a temporary one)."""

    parts: list[str]
    given: dict[str, str]
    folder: str | None = None


@dataclass(frozen=True)
class Ready:
    """All parts answer: the data folder, and the settings that point at the servers."""

    folder: str
    environment: dict[str, str]


def to_line(message: Orders | Ready | EngineError) -> bytes:
    """The message as one line of JSON; of an error, its class and its text."""
    if isinstance(message, EngineError):
        kind = "ConfigError" if isinstance(message, ConfigError) else "Unreachable"
        return json.dumps({"error": kind, "text": str(message)}).encode() + b"\n"
    return json.dumps(asdict(message)).encode() + b"\n"


def read_orders(line: bytes) -> Orders:
    return Orders(**json.loads(line))


def read_answer(line: bytes) -> Ready:
    """The keeper's answer. Raises: the error that the keeper sent; Unreachable for an empty line, without an answer."""
    if not line:
        raise Unreachable("The keeper of the embedded servers ended before they were ready; stderr says why.")
    answer = json.loads(line)
    if "error" in answer:
        raise ERRORS[answer["error"]](answer["text"])
    return Ready(**answer)
