"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is. Only a failure makes the exit code 1."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "fails"


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`: plain words, and for a warning or failure what the operator can do."""

    level: Level
    subject: str
    text: str

    @classmethod
    def ok(cls, subject: str, text: str) -> Finding:
        return cls(Level.OK, subject, text)

    @classmethod
    def warning(cls, subject: str, text: str) -> Finding:
        return cls(Level.WARNING, subject, text)

    @classmethod
    def failure(cls, subject: str, text: str) -> Finding:
        return cls(Level.FAILURE, subject, text)
