"""The interface of this package: `with EmbeddedServers() as servers: servers.environment()`."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from pipeline_engine.embedded.orders import Orders, Ready, read_answer, to_line
from pipeline_engine.embedded.parts import PARTS, USUAL_PARTS
from pipeline_engine.errors import ConfigError

Keeper = subprocess.Popen[bytes]


class EmbeddedServers:
    """Servers that run while this object is open, and never longer than this process.

    `folder` keeps the data for the next start; without it, they go to a temporary folder that is removed at the end.
    `parts` are names of PARTS. `given` is the environment: a part whose URL it holds (MONGO_URL, REDIS_URL, ...) is not
    started, and its PATH is searched for programs that no wheel contains.
    """

    def __init__(
        self, folder: Path | None = None, parts: Collection[str] = USUAL_PARTS, given: Mapping[str, str] | None = None
    ) -> None:
        self._orders = Orders(list(parts), _known(given or {}), str(folder) if folder else None)
        self._keeper: Keeper | None = None
        self._ready: Ready | None = None

    def environment(self) -> dict[str, str]:
        """The settings that point at the servers (MONGO_URL, ...), with SOCKET_SINK_URL and SMTP_SINK_URL for Sink,
        and IMAP_URL with the mailbox's user and password."""
        return dict(self._running().environment)

    @property
    def folder(self) -> Path:
        """The folder with data and logs."""
        return Path(self._running().folder)

    def start(self) -> None:
        """Start all parts. Returns once every part answers.

        Raises: ConfigError when a program is missing or the folder is in use; Unreachable when a server does not start.
        """
        if sys.platform == "win32":
            raise ConfigError(
                "The embedded servers run on Linux and macOS. Set MONGO_URL, REDIS_URL and so on instead."
            )
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "pipeline_engine.embedded"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C must not reach the keeper: `stop` ends the servers
        )
        try:
            self._ready = read_answer(_ask(self._keeper, to_line(self._orders)))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the servers. Returns once they have ended and a temporary folder is removed."""
        keeper, ready, self._keeper, self._ready = self._keeper, self._ready, None, None
        if keeper:
            # Closing the pipe is not enough: other child processes may have inherited its write end.
            keeper.terminate()
            keeper.communicate()
        if ready and not self._orders.folder:
            shutil.rmtree(ready.folder, ignore_errors=True)  # it still exists only if the keeper was killed

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def _running(self) -> Ready:
        if self._ready is None:
            raise RuntimeError("The embedded servers are not running.")
        return self._ready


def _known(given: Mapping[str, str]) -> dict[str, str]:
    names = {"PATH"}.union(*(row.settings for row in PARTS.values()))
    return {name: value for name, value in given.items() if name in names}


def _ask(keeper: Keeper, line: bytes) -> bytes:
    if keeper.stdin is None or keeper.stdout is None:
        raise RuntimeError("the keeper was started without pipes")
    with suppress(BrokenPipeError):  # the keeper has ended; its answer, if any, is still in the other pipe
        keeper.stdin.write(line)
        keeper.stdin.flush()
    return keeper.stdout.readline()
