"""SIGKILL at random while thousands of tags, notes and mails are due: none is lost, and a doubled mail is flagged."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from tests.faults.automation_checker import Expected
from tests.faults.automation_drill import AutomationDrill
from tests.support.daemon import Daemon
from tests.support.history import CONVERGED

TYPES = ("add_tag", "note", "email")
BATCH = {"AUTOMATION_BATCH": "50"}
MOMENT = 0.3
"""Seconds within which a kill falls after the progress that it waited for: marks come a batch at a time."""


@pytest.mark.slow
@pytest.mark.covers("DA-X2", "DA-X4", "DA-X5")
async def test_twenty_kills_in_5000_tags_notes_and_mails(automation_drill: AutomationDrill, figure: list[str]) -> None:
    await _survive(automation_drill, figure, deals=5_000, kills=20)


async def _survive(drill: AutomationDrill, figure: list[str], deals: int, kills: int) -> None:
    wave, bad = deals // kills, max(1, deals // kills // 100)
    planted = [drill.plant(type, wave, bad) for type in TYPES]
    recoveries = []
    for life in range(kills):
        # New deals for each life: so every kill falls among tags, notes and mails, however fast each of them goes.
        planted = [drill.enter(one, wave, bad) for one in planted] if life else planted
        daemon = drill.start(**BATCH)
        recoveries.append(await _progress(drill, 1))
        await _progress(drill, random.randint(0, _left(drill)))  # noqa: S311
        await _some_moment(drill, daemon)
        daemon.kill()
    drill.start(**BATCH)
    await drill.come_to_rest(patience=120)
    drill.judge(patience=CONVERGED)
    figure.append(_told(drill, planted[-1], kills, max(recoveries)))


def _left(drill: AutomationDrill) -> int:
    return sum(len(one.due) for one in drill.expected) - sum(map(drill.marked, drill.expected))


async def _progress(drill: AutomationDrill, deals: int) -> float:
    goal = max(0, _left(drill) - deals)
    return await drill.until(lambda: _left(drill) <= goal, f"{deals} more deals are through", 60)


async def _some_moment(drill: AutomationDrill, daemon: Daemon) -> None:
    if _left(drill):
        await drill.lives_on(daemon, random.uniform(0, MOMENT))  # noqa: S311


def _told(drill: AutomationDrill, mails: Expected, kills: int, recovery: float) -> str:
    copies = drill.automations.case(mails, drill.outside.arrivals()).copies()
    flagged = drill.world.db["effects"].count_documents({"ambiguous": True})
    done = sum(len(one.done) for one in drill.expected)
    failed = sum(len(one.failed) for one in drill.expected)
    return (
        f"{kills} kills: {done} tags, notes and mails, {failed} failed as planned, 0 lost, 0 tags or notes doubled; "
        f"{sum(times > 1 for times in copies.values())} of {len(mails.done)} mails doubled under one Message-ID, "
        f"at most {max(copies.values())} times, each flagged among {flagged}; "
        f"from a daemon's start to its first mark at most {recovery:.1f} s; "
        f"a lease lay about for at most {drill.automations.longest_orphan() / timedelta(seconds=1):.1f} s"
    )
