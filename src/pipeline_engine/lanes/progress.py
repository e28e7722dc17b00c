"""How far a long job is: noted by its handler, kept in Redis while the job is in its lane."""

from __future__ import annotations

import re

import msgspec

TEXT = re.compile(rb"(\d{1,18})(?:/(\d{1,18}))?")


class Progress(msgspec.Struct, frozen=True):
    """So many steps are done, of so many where that is known."""

    done: int
    total: int | None = None

    def __str__(self) -> str:
        return f"{self.done}" if self.total is None else f"{self.done}/{self.total}"

    @classmethod
    def read(cls, text: bytes) -> Progress | None:
        """The progress that `str` wrote; None for any other text, as others may write in Redis."""
        if not (match := TEXT.fullmatch(text)):
            return None
        return cls(int(match[1]), int(match[2]) if match[2] else None)


class ProgressBoard:
    """What handlers of this process have noted since the notes were last taken: the newest of each job."""

    def __init__(self) -> None:
        self._notes: dict[tuple[str, str], Progress] = {}

    def note(self, lane: str, job_id: str, progress: Progress) -> None:
        """Keep the note in place of an earlier one."""
        self._notes[lane, job_id] = progress

    def take(self) -> dict[tuple[str, str], Progress]:
        """{(lane, job id): newest note}; the board is empty then."""
        notes, self._notes = self._notes, {}
        return notes
