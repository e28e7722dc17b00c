"""Lanes against BullMQ and against arq as it comes: all on the same Redis, in turns, medians of the rounds.

`python -m bench.lanes` runs this part alone. BullMQ is left out, with a note, where Node or npm is missing.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal

from bench.row import Row
from pipeline_engine.embedded import EmbeddedServers

ROUNDS = 5
PLACES = 32
IDEAL = PLACES / 0.025  # jobs of 25 ms per second
PEERS = Path(__file__).parent / "peers"
NODE_PACKAGES = ("bullmq@6", "ioredis@5")
NPM_TIMEOUT = 120.0

Scenario = Literal["empty", "busy", "pickup", "inserts"]


@dataclass(frozen=True)
class Peer:
    """A program that takes SCENARIO JOBS and the servers' URLs, and how many jobs of each scenario it gets."""

    command: Sequence[str | Path]
    folder: Path
    jobs: dict[Scenario, int]

    async def once(self, scenario: Scenario, *urls: str) -> dict[str, Any]:
        call = (*self.command, scenario, str(self.jobs[scenario]), *urls)
        process = await asyncio.create_subprocess_exec(*call, cwd=self.folder, stdout=-1, stderr=-1)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()[-2000:]
        told: dict[str, Any] = json.loads(out.splitlines()[-1])
        return told


@dataclass
class Figures:
    """What one peer did in all rounds."""

    per_second: dict[Scenario, list[float]]
    cpu_us: dict[Scenario, list[float]]
    waits_ms: list[float]


async def run(redis_url: str) -> list[Row]:
    """The rows of the lanes, each against both peers."""
    with tempfile.TemporaryDirectory() as scratch:
        ours, arq = _python("ours", 20_000, 3_000), _python("plain_arq", 1_500, 400, pickups=8)
        bullmq = await bullmq_peer(Path(scratch), {"empty": 20_000, "busy": 3_000, "pickup": 200})
        peers = {"ours": ours, "BullMQ": bullmq, "arq": arq}
        figures = await _measure({name: peer for name, peer in peers.items() if peer}, redis_url)
    return _rows(figures)


def _python(module: str, empty: int, busy: int, pickups: int = 200) -> Peer:
    command = (sys.executable, "-m", f"bench.peers.{module}")
    return Peer(command, PEERS.parent.parent, {"empty": empty, "busy": busy, "pickup": pickups})


async def bullmq_peer(scratch: Path, jobs: dict[Scenario, int], *more_packages: str) -> Peer | None:
    """BullMQ, installed into the folder `scratch`; None where Node or npm is missing, or the install failed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        return None
    packages = (*NODE_PACKAGES, *more_packages)
    command: tuple[str | Path, ...] = (npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", scratch)
    install = await asyncio.create_subprocess_exec(*command, *packages, cwd=scratch, stdout=-3, stderr=-3)
    with suppress(TimeoutError):
        await asyncio.wait_for(install.wait(), NPM_TIMEOUT)
    if install.returncode != 0:
        return None
    shutil.copy(PEERS / "bullmq.mjs", scratch)
    return Peer((node, "bullmq.mjs"), scratch, jobs)


async def _measure(peers: dict[str, Peer], url: str) -> dict[str, Figures]:
    figures = {name: Figures({"empty": [], "busy": []}, {"empty": [], "busy": []}, []) for name in peers}
    for _ in range(ROUNDS):
        for name, peer in peers.items():
            await _round(peer, figures[name], url)
    return figures


async def _round(peer: Peer, figures: Figures, url: str) -> None:
    for scenario in figures.per_second:
        told = await peer.once(scenario, url)
        figures.per_second[scenario].append(peer.jobs[scenario] / told["seconds"])
        figures.cpu_us[scenario].append(told["cpu_us"])
    figures.waits_ms += (await peer.once("pickup", url))["waits_ms"]


def _rows(figures: dict[str, Figures]) -> list[Row]:
    ours = figures["ours"]
    rows = []
    for name, peer in figures.items():
        if name == "ours":
            continue
        aims = ("≥ 1.0", "≥ 1.0") if name == "BullMQ" else ("", "")
        rows.append(_speed("empty jobs/s, 32 places", "empty", ours, peer, name, aims[0]))
        rows.append(_speed("25 ms jobs/s, 32 places", "busy", ours, peer, name, aims[1]))
    rows += [_pickup(ours, peer, name) for name, peer in figures.items() if name != "ours"]
    if "BullMQ" not in figures:
        rows.append(Row("BullMQ", "-", "-", "-", "-", "left out: node or npm is missing, or the install failed"))
    return rows


def _speed(what: str, scenario: Scenario, ours: Figures, peer: Figures, name: str, aim: str) -> Row:
    mine, other = median(ours.per_second[scenario]), median(peer.per_second[scenario])
    cpu = f"worker CPU per job {median(ours.cpu_us[scenario]):.0f} against {median(peer.cpu_us[scenario]):.0f} µs"
    share = f"; {mine / IDEAL:.0%} against {other / IDEAL:.0%} of the ideal" if scenario == "busy" else ""
    return Row(what, f"{mine:,.0f}", f"{name} {other:,.0f}", f"{mine / other:.2f}", aim, cpu + share)


def _pickup(ours: Figures, peer: Figures, name: str) -> Row:
    mine, other = _percentiles(ours.waits_ms), _percentiles(peer.waits_ms)
    against = f"{name} {other[0]:.2f} / {other[1]:.2f}"
    aim, note = "≤ 2 / ≤ 10 ms", "enqueued over a connection of its own, heard by the doorbell"
    return Row(
        "pickup on an idle lane, p50 / p99 ms",
        f"{mine[0]:.2f} / {mine[1]:.2f}",
        against,
        f"{other[0] / mine[0]:.1f}",
        aim,
        note,
    )


def _percentiles(waits: list[float]) -> tuple[float, float]:
    cuts = quantiles(waits, n=100, method="inclusive")
    return cuts[49], cuts[98]


if __name__ == "__main__":
    with EmbeddedServers() as servers:
        for row in asyncio.run(run(servers.environment()["REDIS_URL"])):
            print(row.markdown())
