"""SIGKILL at random while much is due: nothing is lost, nothing is double, and a doubled mail is flagged."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.support.drills.automations.case import Expected
from tests.support.drills.automations.plan import AutomationDrill
from tests.support.drills.clones.plan import CloneDrill
from tests.support.drills.history import MAX_ORPHANED_AFTER_OUTAGE
from tests.support.drills.imports.csv_file import csv_file
from tests.support.drills.imports.plan import ImportDrill
from tests.support.proxy import Fault, Proxy

MAX_DELAY = 0.3
"""Seconds within which a kill falls after the progress that it waited for: marks and steps come a batch at a time."""


@pytest.mark.covers("DI-X1", "DI-X3", "DI-X7")
@pytest.mark.slow
async def test_three_kills_in_3000_rows(drill: ImportDrill, figure: list[str]) -> None:
    await _kill_imports(drill, figure, rows=3_000, kills=3)


@pytest.mark.slow
async def test_ten_kills_in_100000_rows(drill: ImportDrill, figure: list[str]) -> None:
    await _kill_imports(drill, figure, rows=100_000, kills=10)


async def _kill_imports(drill: ImportDrill, figure: list[str], rows: int, kills: int) -> None:
    chunk_rows = rows // 100 if rows < 10_000 else 500
    queue_id = drill.plan.plant(csv_file(rows))
    recoveries = []
    # Kills fall when so many chunks are done: spread over the whole import, at moments that are not chosen.
    for done in sorted(random.sample(range(1, rows // chunk_rows * 9 // 10), kills)):
        daemon = drill.start(IMPORT_CHUNK_ROWS=str(chunk_rows))
        recoveries.append(await drill.progress(drill.plan.done() + 1))
        await drill.progress(done)
        daemon.kill()
    drill.start(IMPORT_CHUNK_ROWS=str(chunk_rows))
    await drill.come_to_rest(timeout=120)
    drill.check(MAX_ORPHANED_AFTER_OUTAGE)

    ended, report = drill.world.import_of(queue_id), drill.world.report_of(queue_id)
    assert (report["total_records_added"], report["total_errors"]) == (rows * 99 // 100, rows // 100)
    deals = drill.world.db["deals"].count_documents({"import_id": queue_id})
    figure.append(
        f"{kills} kills in {rows} rows: {deals} deals, {report['total_errors']} errors, 0 lost, 0 double; "
        f"from a daemon's start to its first chunk at most {max(recoveries):.1f} s; {_longest_orphaned(drill)}; "
        f"attempts {ended['attempts']}, claims {ended['token']}"
    )


@pytest.mark.slow
@pytest.mark.covers("DA-X2", "DA-X4", "DA-X5")
async def test_twenty_kills_in_5000_tags_notes_and_mails(automation_drill: AutomationDrill, figure: list[str]) -> None:
    drill, deals, kills, batch = automation_drill, 5_000, 20, {"AUTOMATION_BATCH": "50"}
    wave, bad = deals // kills, max(1, deals // kills // 100)
    planted = [drill.plan.plant(type, wave, bad) for type in ("add_tag", "note", "email")]
    recoveries = []
    for life in range(kills):
        # New deals for each life: so every kill falls among tags, notes and mails, however fast each of them goes.
        planted = [drill.plan.enter(one, wave, bad) for one in planted] if life else planted
        daemon = drill.start(**batch)
        recoveries.append(await drill.progress(drill.plan.done() + 1, timeout=60))
        await drill.progress(drill.plan.done() + random.randint(0, _left(drill)), timeout=60)  # noqa: S311
        if _left(drill):
            await drill.outlast(daemon, random.uniform(0, MAX_DELAY))  # noqa: S311
        daemon.kill()
    drill.start(**batch)
    await drill.come_to_rest(timeout=120)
    drill.check(MAX_ORPHANED_AFTER_OUTAGE)
    figure.append(f"{kills} kills: {_mails(drill, planted[-1])}; first mark after {max(recoveries):.1f} s at most")


def _left(drill: AutomationDrill) -> int:
    return sum(len(one.due) for one in drill.plan.expected) - drill.plan.done()


def _mails(drill: AutomationDrill, mails: Expected) -> str:
    copies = drill.plan.case(mails).copies()
    flagged = drill.world.db["effects"].count_documents({"ambiguous": True})
    done = sum(len(one.done) for one in drill.plan.expected)
    failed = sum(len(one.failed) for one in drill.plan.expected)
    return (
        f"{done} tags, notes and mails, {failed} failed as planned, 0 lost, 0 tags or notes doubled; "
        f"{sum(times > 1 for times in copies.values())} of {len(mails.done)} mails doubled under one Message-ID, "
        f"at most {max(copies.values())} times, each flagged among {flagged}; {_longest_orphaned(drill)}"
    )


STEPS = 10
# One copy at a time from a slow S3: so a clone lasts as long as several lives of a daemon. A run that ends because a
# step has seen too many deaths is followed by the next at once.
SLOW = {"CLONE_COPIES": "1", "FUNNEL_SWEEP_SECONDS": "1"}
DELAY = 0.02
"""Seconds of S3's each way, for each kill: the more lives, the longer the clone. A copy takes four ways."""


@pytest.fixture
async def slow_s3(servers: dict[str, str]) -> AsyncIterator[Proxy]:
    async with Proxy.before(servers["S3_ENDPOINT_URL"]) as proxy:
        yield proxy


@pytest.mark.parametrize("kills", [pytest.param(kills, marks=pytest.mark.slow) for kills in (3, 20)])
@pytest.mark.covers("FC-12", "FC-X2", "FC-X8")
async def test_kills_in_a_clone_of_ten_steps(
    clone_drill: CloneDrill, slow_s3: Proxy, figure: list[str], kills: int
) -> None:
    drill, plan = clone_drill, clone_drill.plan
    slow_s3.set(Fault(delay=DELAY * kills))
    slow = {"S3_ENDPOINT_URL": slow_s3.instead_of(drill.environment["S3_ENDPOINT_URL"]), **SLOW}
    planted = plan.plant(STEPS)
    seen = []
    # Kills fall when so many steps are done: spread over the whole clone, at moments that are not chosen.
    for done in sorted(random.choices(range(STEPS // 2), k=kills)):  # noqa: S311
        daemon = drill.start(**slow)
        await drill.until(lambda: daemon.calls("s3.copy") > 0 or drill.at_rest(), "a copy is made")  # noqa: B023
        await drill.until(lambda: plan.done() >= done or drill.at_rest(), f"{done} steps are done", 60)  # noqa: B023
        await drill.outlast(daemon, random.uniform(0, MAX_DELAY))  # noqa: S311
        daemon.kill()
        seen.append(plan.done())
    drill.start(**slow)
    await drill.come_to_rest(timeout=60)
    drill.check(MAX_ORPHANED_AFTER_OUTAGE)
    figure.append(
        f"{kills} kills: steps done when each fell {seen}; the copy is whole, 0 objects without a record; "
        f"{plan.funnel(planted)['clone']['attempts']} runs failed before the last; {_longest_orphaned(drill)}"
    )
    assert sum(done < STEPS for done in seen) > kills / 2


def _longest_orphaned(drill: ImportDrill | AutomationDrill | CloneDrill) -> str:
    seconds = drill.observer.longest_orphaned() / timedelta(seconds=1)
    return f"a lease that had run out waited for its next holder for at most {seconds:.1f} s"
