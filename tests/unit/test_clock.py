from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from pipeline_engine.clock import Clock


def test_it_starts_with_this_machines_time_in_utc() -> None:
    before = datetime.now(UTC)
    now = Clock().now()
    assert now.tzinfo is UTC
    assert before - timedelta(milliseconds=5) <= now <= datetime.now(UTC) + timedelta(milliseconds=5)


def test_it_takes_over_the_servers_time_and_returns_by_how_much_it_moved() -> None:
    clock = Clock()
    server = datetime(2030, 1, 1, tzinfo=UTC)
    expected = server - clock.now()
    assert abs(clock.set(server) - expected) < timedelta(milliseconds=50)
    assert server <= clock.now() < server + timedelta(milliseconds=50)
    assert abs(clock.set(clock.now())) < timedelta(milliseconds=50)


async def test_of_several_answers_the_one_that_is_the_least_late_counts() -> None:
    clock, began = Clock(), time.monotonic()
    late = iter([30.0, 0.0, 5.0])

    async def ask() -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=time.monotonic() - began - next(late))

    await clock.follow(ask)

    true = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=time.monotonic() - began)
    assert abs(true - clock.now()) < timedelta(milliseconds=50)


def test_it_can_go_back() -> None:
    clock = Clock()
    assert clock.set(clock.now() - timedelta(days=1)) < -timedelta(hours=23)
    assert clock.now() < datetime.now(UTC) - timedelta(hours=23)


def test_this_machines_wall_clock_may_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    clock.set(datetime(2030, 1, 1, tzinfo=UTC))
    first, ticks = clock.now(), time.monotonic()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "monotonic", lambda: ticks + 90)
    moved = clock.now() - first
    assert timedelta(seconds=89.9) < moved < timedelta(seconds=90.1)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        Clock().set(datetime(2030, 1, 1))  # noqa: DTZ001
