"""What Prometheus reads: figures as text in its exposition format. Pure but for the figures of the process itself.

Labels take few values, which our code declares: lanes, states, servers, collections and their problems. No id, name or
text of a tenant is among the readings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from prometheus_client import PLATFORM_COLLECTOR, PROCESS_COLLECTOR, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline_engine.lanes import Counts, LaneStats
from pipeline_engine.repos.stuck import StuckCounts

Samples = Iterable[tuple[tuple[str, ...], float]]
"""(values of the labels, value) of each."""


@dataclass(frozen=True)
class Readings:
    """What one look found. What could not be read is missing."""

    version: str
    draining: bool
    degraded: bool
    servers: Mapping[str, bool]
    """{server: whether it answers}."""
    lanes: Mapping[str, Counts] = field(default_factory=dict)
    stats: Mapping[str, LaneStats] = field(default_factory=dict)
    """Of the lanes that this process works on."""
    stuck: StuckCounts = field(default_factory=dict)
    dead_letters: int | None = None
    quarantined: int | None = None
    outbox: int | None = None


def exposition(readings: Readings) -> bytes:
    """The figures, and those of this process (`process_…`, `python_info`)."""
    return generate_latest(_Families(readings))


class _Families(Collector):
    """What the library asks for what it writes."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        own = chain.from_iterable(part(self._readings) for part in (_process, _lanes, _attempts, _work))
        yield from (family for family in own if family.samples)
        yield from PROCESS_COLLECTOR.collect()
        yield from PLATFORM_COLLECTOR.collect()


def _process(readings: Readings) -> Iterator[Metric]:
    yield _gauge("build_info", "The version of the engine.", [((readings.version,), 1)], "version")
    up = [((server,), answers) for server, answers in readings.servers.items()]
    yield _gauge("up", "Whether the server answers this process and takes writes.", up, "server")
    yield _gauge("degraded", "Whether work rests here because Redis does not answer.", _one(readings.degraded))
    yield _gauge("draining", "Whether this process ends and takes no more work.", _one(readings.draining))


def _lanes(readings: Readings) -> Iterator[Metric]:
    lanes = readings.lanes.items()
    states = ("waiting", "delayed", "active", "parked")
    jobs = [((lane, state), getattr(counts, state)) for lane, counts in lanes for state in states]
    yield _gauge("lane_jobs", "Jobs in the lane, of all daemons together.", jobs, "lane", "state")
    paused = [((lane,), counts.paused) for lane, counts in lanes]
    yield _gauge("lane_paused", "Whether an operator has paused the lane.", paused, "lane")
    oldest = [((lane,), counts.oldest_seconds) for lane, counts in lanes]
    about = "How long the oldest job in line has waited."
    yield _gauge("lane_oldest_waiting_seconds", about, oldest, "lane")


def _attempts(readings: Readings) -> Iterator[Metric]:
    lanes = readings.stats.items()
    places = [((lane,), stats.places) for lane, stats in lanes]
    yield _gauge("lane_places", "How many jobs of the lane run at once in this daemon.", places, "lane")
    running = [((lane,), stats.running) for lane, stats in lanes]
    yield _gauge("lane_running_jobs", "Jobs of the lane that run in this daemon now.", running, "lane")
    ended = [((lane, outcome), count) for lane, stats in lanes for outcome, count in stats.attempts.items()]
    about = "Attempts at jobs that ended in this daemon, by what became of the job."
    yield _counter("job_attempts_total", about, ended, "lane", "outcome")
    busy = [((lane,), stats.busy_seconds) for lane, stats in lanes]
    yield _counter("job_busy_seconds_total", "How long these attempts took together.", busy, "lane")
    faults = ("refused", "unknown", "late")
    amiss = [((lane, fault), getattr(stats, fault)) for lane, stats in lanes for fault in faults]
    about = "Jobs that this daemon refused (bad digest), had no handler for, or settled after it had lost them."
    yield _counter("job_faults_total", about, amiss, "lane", "fault")


def _work(readings: Readings) -> Iterator[Metric]:
    about = "Documents that an operator should look at, as `doctor` lists them."
    yield _gauge("stuck_documents", about, readings.stuck.items(), "collection", "problem")
    about = "Jobs that were given up, and neither retried nor discarded since."
    yield _gauge("dead_letters", about, _one(readings.dead_letters))
    yield _gauge("quarantined_documents", "Documents that the engine has set aside.", _one(readings.quarantined))
    yield _gauge("outbox_waiting_events", "Socket events that are not delivered yet.", _one(readings.outbox))


def _one(value: float | None) -> Samples:
    return [] if value is None else [((), value)]


def _gauge(name: str, about: str, samples: Samples, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(f"pipeline_engine_{name}", about, labels=labels), samples)


def _counter(name: str, about: str, samples: Samples, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"pipeline_engine_{name}", about, labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for values, value in samples:
        family.add_metric(values, value)
    return family
