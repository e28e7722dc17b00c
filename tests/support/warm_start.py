"""Starts the production daemon in a process that is forked from one in which every module is loaded already.

Of the two seconds of processor time that `arq pipeline_engine.WorkerSettings` takes until it is ready, Python's imports
take one and a half. What runs is the same: arq's command, in a process of its own that a test may kill.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path

from arq.cli import cli

PR_SET_PDEATHSIG = 1
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pipeline_engine.daemon", __name__])


class WarmStart:
    """A daemon with these settings, in this folder, that writes to this log. It ends with the test process."""

    def __init__(self, settings: str, environment: Mapping[str, str], folder: Path, log: Path) -> None:
        log.write_bytes(b"")  # it is there when the test looks into it, though the process has not begun
        arguments = (settings, dict(environment), folder, log)
        self._process = CONTEXT.Process(target=_run, args=arguments, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code; None while it runs, minus the signal that ended it."""
        return self._process.exitcode

    def wait(self) -> None:
        self._process.join()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(settings: str, environment: dict[str, str], folder: Path, log: Path) -> None:
    if sys.platform == "linux":
        # The server from which it is forked ends when this pipe is closed by the test process and all its children.
        os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
        for number, file in enumerate((nothing, output, output)):
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["arq", settings]
    cli()
