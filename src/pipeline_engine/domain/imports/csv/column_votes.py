"""What the cells of one column say about how all of them are written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from pipeline_engine.domain.imports.csv.values.cell import NotAValue, shown
from pipeline_engine.domain.imports.csv.values.date import Order, order_of
from pipeline_engine.domain.imports.csv.values.number import Mark, WrittenNumber, mark_of, written

Choice = TypeVar("Choice", bound=str)
ROUNDED_ID = re.compile(r"\d[.,]\d{3,}[Ee]\+\d{2}")


class MarkVote(NamedTuple):
    """`winner`: the decimal mark that cells prove, None where none does. `against`: a cell that proves the other one.
    `doubtful`: a cell that can be read in two ways. `credit`: the sign of amounts marked CR."""

    winner: Mark | None
    against: str | None
    doubtful: str | None
    credit: str
    mixes_percent: bool


class OrderVote(NamedTuple):
    """As `MarkVote`, for day and month."""

    winner: Order | None
    against: str | None
    doubtful: str | None


class _Count(Generic[Choice]):
    """Votes of cells, with an example of each kind."""

    def __init__(self) -> None:
        self.votes: Counter[Choice] = Counter()
        self.examples: dict[Choice, str] = {}
        self.doubtful: str | None = None

    def add(self, cell: str, choice: Choice | None, certain: bool) -> None:
        if not certain:
            self.doubtful = self.doubtful or shown(cell)
        elif choice is not None:
            self.votes[choice] += 1
            self.examples.setdefault(choice, shown(cell))

    def result(self) -> tuple[Choice | None, str | None]:
        """The choice with most votes, and an example of another one."""
        ranked = [choice for choice, _ in self.votes.most_common()]
        return (ranked[0] if ranked else None), (self.examples[ranked[1]] if len(ranked) > 1 else None)


def vote_on_marks(cells: Iterable[str]) -> MarkVote:
    """Let the cells of a column of numbers vote on its decimal mark; cells that are no numbers have no vote."""
    count: _Count[Mark] = _Count()
    signs: set[str] = set()
    percents: set[bool] = set()
    for cell in cells:
        if number := _written(cell):
            count.add(cell, *mark_of(number))
            signs.add(number.sign)
            percents.add(number.percent)
    winner, against = count.result()
    # Where only exceptions are marked, CR marks what runs against the rest.
    credit = "-" if "CR" in signs and "DR" not in signs and "" in signs else "+"
    return MarkVote(winner, against, count.doubtful, credit, len(percents) > 1)


def _written(cell: str) -> WrittenNumber | None:
    try:
        return written(cell)
    except NotAValue:
        return None


def vote_on_orders(cells: Iterable[str]) -> OrderVote:
    """Let the cells of a column of dates vote on the order of day and month."""
    count: _Count[Order] = _Count()
    for cell in cells:
        count.add(cell, *order_of(cell))
    return OrderVote(*count.result(), count.doubtful)


def likely_order(cells: Iterable[str]) -> Order | None:
    """The order in which doubtful cells are dates that they are not in the other one."""
    return next((order for cell in cells if (order := order_of(cell)[0])), None)


def destroyed_id(cells: Sequence[str]) -> str | None:
    """A cell such as `7,31845E+17`: what a spreadsheet writes for a long id."""
    return next((shown(cell) for cell in cells if ROUNDED_ID.fullmatch(cell)), None)
