"""Points at which a daemon can be killed: before or after a call that leaves the process."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from tests.support.daemon import Daemon

READS = (".find", ".find_one", ".aggregate", ".count")


class Point(NamedTuple):
    """Before or after the n-th call of a failpoint."""

    failpoint: str
    nth: int
    when: str

    @property
    def plan(self) -> str:
        return json.dumps({**self._asdict(), "do": "kill"})


Calls = Counter[tuple[str, str]]
"""{(failpoint, before | after): number of times}."""


def passed(daemon: Daemon) -> Calls:
    """The calls that a daemon has made so far."""
    lines = [line.split() for line in daemon.failpoints.read_text().splitlines()]
    return Counter((failpoint, when) for failpoint, _, when in lines)


def points_of(calls: Calls, busy: Calls, only_first: Collection[str] = ()) -> list[Point]:
    """Before and after the first call of every failpoint and one in the middle of the work, as `busy` counts it.

    Of names that end as `only_first` says, the first call alone.
    """
    middle = {failpoint: random.randint(min(2, times), times) for (failpoint, _), times in busy.items()}  # noqa: S311
    return [
        Point(failpoint, nth, when)
        for failpoint, when in sorted(calls)
        for nth in sorted(
            {1} if failpoint.endswith(tuple(only_first)) else {1, min(middle.get(failpoint, 1), calls[failpoint, when])}
        )
    ]
