"""Violations planted in a copy of a spotless case: a checker is believed only because it finds each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta

from tests.support.drills.case import C, Check, violations

Plant = Callable[[C], object]

NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=1)
TAKEN_TWICE = (
    {"token": 2, "lease_until": LATER, "lease_owner": "one"},
    {"token": 3, "lease_until": LATER, "lease_owner": "two"},
)
"""Changes of a document: claimed while another holds it."""
TAKEN_LATE = ({"token": 2, "lease_until": NOW}, {"token": 3, "lease_until": LATER})
"""Changes of a document: its lease ran out and no other run took it for an hour."""


def assert_each_is_seen(
    spotless: C, planted: Iterable[tuple[str, Plant[C]]], checks: Sequence[Check[C]], names: Mapping[str, object]
) -> None:
    """Nothing is found in the spotless case, and of each planted violation a message that begins as the table says.

    `names`: what stands in braces in the messages.
    """
    assert violations(spotless, checks) == []
    unseen = []
    for message, plant in planted:
        spoiled, expected = deepcopy(spotless), message.format(**names)
        plant(spoiled)
        found = violations(spoiled, checks)
        if not any(violation.startswith(expected) for violation in found):
            unseen.append(f"not seen: {expected}; found: {found}")
    assert not unseen, "\n".join(unseen)


def set_field(name: str, value: object) -> Callable[[object], None]:
    """A plant that replaces a field of the case itself, which is frozen."""
    return lambda case: object.__setattr__(case, name, value)
