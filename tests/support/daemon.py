"""The production daemon as a child process that a test may kill, stop and start again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline_engine.embedded.program import leashed
from tests.support.eventually import eventually
from tests.support.warm_start import WarmStart

SHORT = {
    "LEASE_SECONDS": "2",
    "HEARTBEAT_SECONDS": "0.5",
    "IMPORT_RETRY_SECONDS": "1",
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "json",
}
SETTINGS = "pipeline_engine.WorkerSettings"
TAIL_CHARACTERS = 3000


class Daemon:
    """One life of `arq pipeline_engine.WorkerSettings`. It ends with the test process, however that one ends.

    With `settings`, of those settings. With `cold`, the command is run as a shell runs it, for tests of that door.
    """

    def __init__(
        self, environment: Mapping[str, str], folder: Path, name: str, settings: str = SETTINGS, cold: bool = False
    ) -> None:
        self.log = folder / f"{name}.log"
        self.failpoints = folder / f"{name}.failpoints"
        # In a folder of its own, so that it reads no .env of the developer.
        start = _cold_start if cold or settings != SETTINGS else WarmStart
        self._process = start(settings, {**SHORT, **environment}, folder, self.log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs, minus the signal that ended it."""
        return self._process.poll()

    def said(self, event: str) -> list[dict[str, Any]]:
        """The log lines with this event."""
        lines = self.log.read_text(errors="replace").splitlines()
        records = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [record for record in records if record.get("event") == event]

    @property
    def ready(self) -> bool:
        return bool(self.said("daemon.started"))

    def calls(self, failpoint: str) -> int:
        """How many calls of a failpoint went through; only of a daemon that logs its failpoints."""
        if not self.failpoints.exists():
            return 0
        lines = self.failpoints.read_text().splitlines()
        return sum(line.startswith(f"{failpoint} ") and line.endswith(" after") for line in lines)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()
        self._process.wait()

    async def terminate(self, within: float = 25) -> float:
        """SIGTERM; returns after how many seconds it was gone."""
        asked = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        await eventually(lambda: not self.alive, "the daemon ends after SIGTERM", within, self)
        return time.monotonic() - asked

    def tail(self) -> str:
        """The end of its log."""
        end = self.log.read_text(errors="replace")[-TAIL_CHARACTERS:]
        return f"--- {self.log.name}, exit code {self.exit_code}\n{end}"


def _cold_start(settings: str, environment: Mapping[str, str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    command = leashed([f"{sys.prefix}/bin/arq", settings])
    with log.open("wb") as output:
        return subprocess.Popen(
            command, env=dict(environment), cwd=folder, stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
