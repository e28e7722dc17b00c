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

STEP = 0.01  # seconds between two tries
LONGEST_TRY = 2  # seconds; something may accept a connection and never answer
# Also the severities in mongod's JSON.
TROUBLE = re.compile(r'error|fatal|fail|not available|"s":"[EF]"', re.IGNORECASE)
PORT_TAKEN = ("address already in use", "is not available on")
# On Linux the program dies with the process that started it, however that one ends. (PR_SET_PDEATHSIG = 1; it fires
# at the end of the *thread* that forked, so start programs from the main thread. An interpreter in between instead of
# a preexec_fn, because Python code between fork and exec can deadlock when other threads run. Other systems have no
# such call: there the keeper's pipe is what ends the programs.)
LEASH = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit("started by a process that is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class PortTaken(Unreachable):
    """Somebody took the program's port between our finding it and its binding it."""


class Program:
    """One run at a time of one server program; `log` holds what the last one said."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> None:
        """Start it in `folder`, with nothing but `environment`. Only from the main thread."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                leashed(command),
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for us, not for the servers
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._started().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._started().send_signal(signal.SIGCONT)

    async def until_ready(
        self, attempt: Callable[[], Awaitable[object]], retry_on: type[Exception], patience: float = 60
    ) -> None:
        """Repeat `attempt` until it goes through. Unreachable when the program ends or `patience` (seconds) is over."""
        deadline = time.monotonic() + patience
        while True:
            try:
                async with asyncio.timeout(LONGEST_TRY):
                    await attempt()
                return
            except (retry_on, TimeoutError) as error:
                if not self.running:
                    raise self._ended() from error
                if time.monotonic() > deadline:
                    raise Unreachable(f"{self.name} is not ready after {patience:g} s: {error!r}") from error
            await asyncio.sleep(STEP)

    async def stop(self, patience: float = 20) -> None:
        """End it: politely for `patience` seconds (0: not at all), then by force. Harmless when it does not run."""
        if not self.running:
            return
        process = self._started()
        if patience:
            process.terminate()
            self.resume()  # a frozen process does not hear a polite word
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, patience)
        process.kill()
        await asyncio.to_thread(process.wait)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process

    def _ended(self) -> Unreachable:
        said = self.log.read_text(errors="replace")
        kind = PortTaken if any(phrase in said.lower() for phrase in PORT_TAKEN) else Unreachable
        return kind(f"{self.name} ended at once ({ending(self._started().returncode)}). {telling(said)}")


def leashed(command: Sequence[str | Path]) -> list[str]:
    """The command line that also ties the program's life to this process's, where the system can do that."""
    plain = [str(word) for word in command]
    if sys.platform != "linux":
        return plain
    return [sys.executable, "-I", "-S", "-c", LEASH, str(os.getpid()), *plain]


def ending(code: int) -> str:
    """How a process ended, in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def telling(log: str, most: int = 5) -> str:
    """The lines of a log that say what went wrong, on one line; the last ones when none does."""
    lines = log.splitlines()
    return " | ".join(list(filter(TROUBLE.search, lines))[-most:] or lines[-most:])
