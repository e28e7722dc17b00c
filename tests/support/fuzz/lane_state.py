"""Mutations of lanes' keys in Redis. They only add, so that no job is lost, which would be another fault. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

SORTED = ("normal", "high", "low", "delayed", "active", "inbox")
HASHES = ("jobs", "priority", "owners", "parked", "state", "crashes")
VALUES = ("", "abc", "-1", "1e3", "9223372036854775807", "\x00\xff")


@dataclass(frozen=True)
class LaneMutation:
    """`entries` are added to the sorted set or hash `part` of the lane; to a key that is missing, if `text`, a text is
    written instead."""

    lane: str
    part: str
    entries: Mapping[str, Any]
    text: bool

    def __str__(self) -> str:
        what = "a text" if self.text else f"{len(self.entries)} entries"
        return f"lane {self.lane}, {self.part}: {what}"


def draw_lane(number: int, lanes: Sequence[str], seed: str) -> LaneMutation:
    """Mutation `number` of a run; the same in every run with this seed."""
    rng = Random(f"{seed}:lane:{number}")  # noqa: S311 - not for secrets
    part = rng.choice(SORTED + HASHES)
    ids = [f"planted {number} {n}" for n in range(rng.choice((1, 1, 10, 2_000)))]
    value = (lambda: rng.choice((0, 1, -1, 1e15))) if part in SORTED else (lambda: rng.choice(VALUES))
    return LaneMutation(rng.choice(lanes), part, {id: value() for id in ids}, text=rng.random() < 0.2)
