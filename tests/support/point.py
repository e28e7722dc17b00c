"""A point at which a daemon can be killed: before or after a call that leaves the process."""

from __future__ import annotations

import json
from collections import Counter
from typing import NamedTuple

from tests.support.daemon import Daemon


class Point(NamedTuple):
    """Before or after the n-th call of a failpoint."""

    failpoint: str
    nth: int
    when: str

    @property
    def plan(self) -> str:
        return json.dumps({**self._asdict(), "do": "kill"})


def passed(daemon: Daemon) -> Counter[tuple[str, str]]:
    """{(failpoint, before|after): number of times}."""
    lines = [line.split() for line in daemon.failpoints.read_text().splitlines()]
    return Counter((failpoint, when) for failpoint, _, when in lines)
