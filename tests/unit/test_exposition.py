"""What Prometheus reads is in its format, by its rules for names, and says no more than was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline_engine.admin.exposition import Readings, exposition
from pipeline_engine.lanes import Counts, LaneStats
from tests.support.metrics import PREFIX, Scrape

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
NOTHING_READ = Readings("1.2.3", draining=False, degraded=True, servers={"mongodb": False, "redis": False})
STATS = LaneStats(
    places=3, running=2, refused=5, unknown=6, late=7, attempts={"done": 40, "dead": 1}, busy_seconds=12.5
)
FULL = replace(
    NOTHING_READ,
    degraded=False,
    draining=True,
    servers={"mongodb": True, "redis": False},
    lanes={"a.b": Counts(waiting=1, delayed=2, active=3, parked=4, paused=True, oldest_seconds=9.75)},
    stats={"a.b": STATS},
    stuck={("queues", "imports that run"): 8, ("queues", 'a "quoted" \\ problem\nin two lines'): 0},
    dead_letters=0,
    quarantined=2,
    outbox=3,
)


def read(readings: Readings) -> Scrape:
    return Scrape(exposition(readings).decode())


def test_every_figure_is_there() -> None:
    scrape = read(FULL)
    assert scrape.samples("build_info") == {("1.2.3",): 1}
    assert scrape.samples("up") == {("mongodb",): 1, ("redis",): 0}
    assert (scrape.value("degraded"), scrape.value("draining")) == (0, 1)
    states = {("a.b", "waiting"): 1, ("a.b", "delayed"): 2, ("a.b", "active"): 3, ("a.b", "parked"): 4}
    assert scrape.samples("lane_jobs") == states
    assert scrape.samples("lane_paused") == {("a.b",): 1}
    assert scrape.samples("lane_oldest_waiting_seconds") == {("a.b",): 9.75}
    assert (scrape.value("lane_places", "a.b"), scrape.value("lane_running_jobs", "a.b")) == (3, 2)
    assert scrape.samples("job_attempts_total") == {("a.b", "done"): 40, ("a.b", "dead"): 1}
    assert scrape.samples("job_busy_seconds_total") == {("a.b",): 12.5}
    assert scrape.samples("job_faults_total") == {("refused", "a.b"): 5, ("unknown", "a.b"): 6, ("late", "a.b"): 7}
    assert scrape.samples("stuck_documents") == {
        ("queues", "imports that run"): 8,
        ("queues", 'a "quoted" \\ problem\nin two lines'): 0,
    }
    assert [scrape.value(name) for name in ("dead_letters", "quarantined_documents", "outbox_waiting_events")] == [
        0, 2, 3,
    ]  # fmt: skip


def test_what_could_not_be_read_is_left_out_and_not_zero() -> None:
    own = {family.name for family in read(NOTHING_READ).families if family.name.startswith(PREFIX)}
    assert own == {f"{PREFIX}{name}" for name in ("build_info", "up", "degraded", "draining")}


def test_the_process_speaks_for_itself() -> None:
    assert "process_resident_memory_bytes " in read(NOTHING_READ).text
    assert "python_info{" in read(NOTHING_READ).text


def test_the_page_for_operators_lists_every_figure() -> None:
    page = OPERATIONS.read_text()
    names = {one.name for family in read(FULL).families for one in family.samples if one.name.startswith(PREFIX)}
    assert {name for name in names if f"`{name.removeprefix(PREFIX)}`" not in page} == set()


@pytest.mark.parametrize("readings", [NOTHING_READ, FULL], ids=["nothing", "full"])
def test_names_types_and_helps_are_as_prometheus_wants_them(readings: Readings) -> None:
    own = [family for family in read(readings).families if family.name.startswith(PREFIX)]
    assert own
    for family in own:
        assert family.documentation.endswith("."), family.name
        assert family.type in ("gauge", "counter"), family.name
        ends = {one.name.endswith("_total") for one in family.samples}
        assert ends == {family.type == "counter"}, family.name
        assert len({tuple(one.labels.items()) for one in family.samples}) == len(family.samples), family.name
        assert len({tuple(one.labels) for one in family.samples}) == 1, family.name
