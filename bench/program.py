"""Our program as a child process, with what it used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECRET = "a secret for benchmarks, of 32 bytes or more"
LOOK = 0.02
POLL_SECONDS = 0.002
REST_SECONDS = 15
"""Until a daemon that has just started has run the daily jobs of all accounts."""


@dataclass(frozen=True)
class Run:
    seconds: float
    peak_megabytes: float


def environment(servers: Mapping[str, str], database: str) -> dict[str, str]:
    """The settings of a child that works in a database of its own."""
    url = servers["MONGO_URL"].replace("/crm?", f"/{database}?")
    ours = {"MONGO_URL": url, "APP_SECRET": SECRET, "LOG_LEVEL": "WARNING", "LOG_FORMAT": "json"}
    return {**servers, **ours, "PATH": os.environ["PATH"]}


def run_once(settings: Mapping[str, str], watch: Callable[[], None] = lambda: None, sweep: str = "deals.import") -> Run:
    """`run-once` of a sweep; `watch` is called all the while. Seconds are those of the sweep, without start-up."""
    command = [sys.executable, "-m", "pipeline_engine", "run-once", sweep, "--json"]
    child = subprocess.Popen(command, env=dict(settings), stdout=subprocess.PIPE)
    peak = 0.0
    while child.poll() is None:
        peak = max(peak, peak_megabytes(child.pid))
        watch()
        time.sleep(LOOK)
    assert child.stdout is not None
    told = json.loads(child.stdout.read())
    assert told["ok"], told
    return Run(told["sweeps"][0]["seconds"], peak)


@contextmanager
def running_daemon(settings: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon, for as long as the block lasts."""
    arq = [str(Path(sys.executable).with_name("arq")), "pipeline_engine.WorkerSettings"]
    with subprocess.Popen(arq, env=dict(settings)) as daemon:
        try:
            yield daemon
        finally:
            daemon.terminate()


def create_indexes(settings: Mapping[str, str]) -> None:
    """As `indexes` does, before anything is measured."""
    command = [sys.executable, "-m", "pipeline_engine", "indexes"]
    subprocess.run(command, env=dict(settings), check=True, stdout=subprocess.DEVNULL)


def wait_until(happened: Callable[[], object], timeout: float = 60, poll: float = POLL_SECONDS) -> None:
    """Raises: AssertionError when it has not happened after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(poll)


def peak_megabytes(pid: int) -> float:
    """VmHWM: unlike `ru_maxrss`, it does not count what the parent used before the fork."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0
