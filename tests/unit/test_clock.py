from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from pipeline_engine.clock import Clock


@pytest.fixture
def stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes by the clock of the test's machine, however busy that is."""
    monkeypatch.setattr("pipeline_engine.clock.time", SimpleNamespace(monotonic=lambda: 1000.0))


def test_it_starts_with_this_machines_time_in_utc() -> None:
    before = datetime.now(UTC)
    now = Clock().now()
    assert now.tzinfo is UTC
    assert before - timedelta(seconds=10) <= now <= datetime.now(UTC) + timedelta(seconds=10)


@pytest.mark.usefixtures("stands_still")
def test_it_takes_over_the_servers_time_and_returns_by_how_much_it_moved() -> None:
    clock = Clock()
    server = datetime(2030, 1, 1, tzinfo=UTC)
    expected = server - clock.now()
    assert clock.set(server) == expected
    assert clock.now() == server
    assert clock.set(clock.now()) == timedelta(0)


@pytest.mark.usefixtures("stands_still")
async def test_of_several_answers_the_one_that_is_the_least_late_counts() -> None:
    clock, true = Clock(), datetime(2030, 1, 1, tzinfo=UTC)
    late = iter([30.0, 0.0, 5.0])

    async def ask() -> datetime:
        return true - timedelta(seconds=next(late))

    await clock.follow(ask)

    assert clock.now() == true


def test_it_can_go_back() -> None:
    clock = Clock()
    assert clock.set(clock.now() - timedelta(days=1)) < -timedelta(hours=23)
    assert clock.now() < datetime.now(UTC) - timedelta(hours=23)


def test_this_machines_wall_clock_may_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: ticks)
    clock = Clock()
    clock.set(datetime(2030, 1, 1, tzinfo=UTC))
    first = clock.now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "monotonic", lambda: ticks + 90)
    assert timedelta(seconds=89.9) < clock.now() - first < timedelta(seconds=90.1)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        Clock().set(datetime(2030, 1, 1))  # noqa: DTZ001
