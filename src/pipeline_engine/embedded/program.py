"""A server program as a child process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline_engine.errors import Unreachable

RETRY_SECONDS = 0.01
ATTEMPT_TIMEOUT = 2.0  # a server may accept a connection and never answer
# Includes the severities in mongod's JSON.
TROUBLE = re.compile(r'error|fatal|fail|not available|"s":"[EF]"', re.IGNORECASE)
PORT_TAKEN = ("address already in use", "is not available on")
# On Linux the kernel kills the program when the process that started it ends, however it ends. (PR_SET_PDEATHSIG = 1
# acts at the end of the *thread* that forked, so programs are started from the main thread. A Python interpreter makes
# the call and not a preexec_fn, because Python code between fork and exec can deadlock while other threads run. Other
# systems have no such call: there only the keeper ends the programs, when its pipe closes.)
LEASH = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent process has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""


class PortTaken(Unreachable):
    """Another process took the port after it was found free and before the program bound it."""


class Program:
    """A server program that runs at most once at a time. `log` is the output of its last run."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> None:
        """Start it in `folder`, with `environment` and no other variables. Only from the main thread."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                leashed(command),
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal must not reach the servers
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def pause(self) -> None:
        """Freeze it by SIGSTOP: connections stay open and get no answer."""
        self._started().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it continue after `pause`."""
        self._started().send_signal(signal.SIGCONT)

    async def until_ready(
        self, attempt: Callable[[], Awaitable[object]], retry_on: type[Exception], patience: float = 60
    ) -> None:
        """Repeat `attempt` until it succeeds.

        Raises: Unreachable when the program ends, or after `patience` seconds.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                async with asyncio.timeout(ATTEMPT_TIMEOUT):
                    await attempt()
                return
            except (retry_on, TimeoutError) as error:
                if not self.running:
                    raise self._ended() from error
                if time.monotonic() > deadline:
                    raise Unreachable(f"{self.name} is not ready after {patience:g} s: {error!r}") from error
            await asyncio.sleep(RETRY_SECONDS)

    async def stop(self, patience: float = 20) -> None:
        """End it by SIGTERM and, after `patience` seconds, by SIGKILL; with 0, by SIGKILL at once. Does nothing if it
        does not run."""
        if not self.running:
            return
        process = self._started()
        if patience:
            process.terminate()
            self.resume()  # a frozen process does not handle SIGTERM
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, patience)
        process.kill()
        await asyncio.to_thread(process.wait)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process

    def _ended(self) -> Unreachable:
        output = self.log.read_text(errors="replace")
        kind = PortTaken if any(phrase in output.lower() for phrase in PORT_TAKEN) else Unreachable
        return kind(f"{self.name} ended at once ({exit_reason(self._started().returncode)}). {error_lines(output)}")


def leashed(command: Sequence[str | Path]) -> list[str]:
    """The command line, extended on Linux so that the program ends when this process ends."""
    plain = [str(word) for word in command]
    if sys.platform != "linux":
        return plain
    return [sys.executable, "-I", "-S", "-c", LEASH, str(os.getpid()), *plain]


def exit_reason(code: int) -> str:
    """How a process ended: the signal's name or the exit code."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def error_lines(log: str, max_lines: int = 5) -> str:
    """The last lines of a log that report an error, joined to one; without any, the last lines."""
    lines = log.splitlines()
    return " | ".join(list(filter(TROUBLE.search, lines))[-max_lines:] or lines[-max_lines:])
