"""Files with one fault, and with several at once, are read like the clean table that they were made of."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.support.polluted.engine_reader import read_polluted
from tests.support.polluted.faults import FAULTS
from tests.support.polluted.pollute import Polluted, pollute
from tests.support.polluted.score import score

PERFECT = 9.999
UNREADABLE_ROW = 9.84
"""One of forty rows is lost."""
MISSES = {"a row of another delimiter", "a row of other quotes", "stray quote opens a cell"}
"""They are explained in docs/csv.md."""


def _scores(files: Iterable[Polluted]) -> list[float]:
    return [score(read_polluted(file.data, file.table.wanted), file.table.answer) for file in files]


@pytest.mark.parametrize("file", tuple(pollute(1)), ids=lambda file: file.name)
def test_one_fault_is_seen_through(file: Polluted) -> None:
    found = score(read_polluted(file.data, file.table.wanted), file.table.answer)
    assert found >= (UNREADABLE_ROW if file.name in MISSES else PERFECT)


def test_pairs_and_triples_are_seen_through_as_well() -> None:
    pairs, triples = _scores(pollute(2, every=197)), _scores(pollute(3, every=6007))
    assert sum(pairs) / len(pairs) >= 9.9
    assert sum(triples) / len(triples) >= 9.9
    assert min(pairs + triples) > 8


def test_each_fault_has_a_name_of_its_own() -> None:
    names = [(fault.name, fault.group, fault.spoil) for fault in FAULTS]
    assert len({name for name, _, _ in names}) >= len(FAULTS) - 1  # two languages in one encoding


def test_a_score_tells_a_perfect_reading_from_others() -> None:
    answer = (("a", "b"), (("1", "2"), ("3", "4")))
    assert score(answer, answer) == 10
    assert score(None, answer) == 0
    assert score((("x", "y"), ()), answer) == 1
    assert 5 < score((("a", "b"), (("1", "2"),)), answer) < 10
