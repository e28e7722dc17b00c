"""The generator of mutations: repeatable, and nothing is out of its reach."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import bson
import pytest

from tests.support.fuzz.mutant import Mutant, draw
from tests.support.fuzz.mutation import ABSENT, Mutation, mutate, paths
from tests.support.fuzz.rows import ROWS, Row

VALID: dict[str, Any] = {"_id": 1, "a": {"b": [1, {"c": 2}]}, "token": 3, "in_progress": False}
OWN = ("token", "run.id", "a.b.d")


def mutations(runs: int, own: Sequence[str] = OWN) -> list[Mutation]:
    return [one for seed in range(runs) for one in mutate(VALID, own, Random(seed))[1]]  # noqa: S311


def drawn(number: int, row: Row) -> Mutant:
    return draw(number, [row], "seed", lambda key, _: key, "http://127.0.0.1:9/hook", {"queues": ["lease_until"]})


def test_a_seed_repeats_its_mutant_and_the_valid_document_stays_as_it_is() -> None:
    before = bson.encode(VALID)
    first, second = (mutate(VALID, OWN, Random(7)) for _ in range(2))  # noqa: S311
    assert list(map(str, first[1])) == list(map(str, second[1]))
    assert bson.encode(VALID) == before


def test_every_field_and_place_is_mutated_and_so_are_our_own() -> None:
    wanted = {*paths(VALID), *(tuple(name.split(".")) for name in OWN)}
    assert wanted <= {one.path for one in mutations(700)}


def test_values_of_every_kind_are_written_and_fields_are_taken_away() -> None:
    values = [one.value for one in mutations(700)]
    assert ABSENT in values
    assert {"list", "dict", "str", "datetime", "DatetimeMS", "DBRef", "NoneType"} <= {
        type(one).__name__ for one in values
    }
    assert max(len(one) for one in values if isinstance(one, str)) > 16_000_000


def test_no_mutant_is_held_by_an_older_engine() -> None:
    assert not [one for one in mutations(700) if one.path == ("in_progress",) and one.value not in ([], None, False)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_row_draws_mutants_that_bson_can_hold_and_names_what_is_strange(row: Row) -> None:
    mutants = [drawn(number, row) for number in range(20)]
    for mutant in mutants:
        for _, document in mutant.entries:
            bson.encode(document)
        assert row.name in str(mutant)
        assert ":=" in str(mutant)
        assert len(str(mutant)) < 1000
    assert row.collection in {mutant.mutated for mutant in mutants}
    again = [drawn(number, row) for number in range(20)]
    assert [[one.path for one in mutant.mutations] for mutant in again] == [
        [one.path for one in mutant.mutations] for mutant in mutants
    ]
