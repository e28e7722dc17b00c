"""One figure of the benchmark, always against something measured in the same run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    what: str
    ours: str
    against: str
    ratio: str
    aim: str
    note: str = ""

    def markdown(self) -> str:
        return f"| {self.what} | {self.ours} | {self.against} | {self.ratio} | {self.aim} | {self.note} |"


HEAD = "| what | ours | against | ratio | aim | note |\n| --- | --- | --- | --- | --- | --- |"
