"""Our program as a child process, with what it used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

SECRET = "a secret for benchmarks, of 32 bytes or more"
LOOK = 0.02


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
        peak = max(peak, _peak_megabytes(child.pid))
        watch()
        time.sleep(LOOK)
    assert child.stdout is not None
    told = json.loads(child.stdout.read())
    assert told["ok"], told
    return Run(told["sweeps"][0]["seconds"], peak)


def _peak_megabytes(pid: int) -> float:
    """VmHWM: unlike `ru_maxrss`, it does not count what the parent used before the fork."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0
