"""All parts of one keeper, started and stopped together."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pipeline_engine.embedded.orders import Orders
from pipeline_engine.embedded.parts import PARTS, Part
from pipeline_engine.embedded.program import PortTaken
from pipeline_engine.errors import ConfigError

MAX_STARTS = 3


class Group:
    """The parts that the orders name. Raises: ConfigError that names every missing program, before any part runs."""

    def __init__(self, orders: Orders, folder: Path) -> None:
        self._folder = folder
        self._search_path = orders.given.get("PATH")
        self._environment: dict[str, str] = {}
        self.parts: dict[str, Part] = {}
        missing: list[str] = []
        for name in orders.parts:
            given = PARTS[name].given(orders.given)
            self._environment |= given
            if not given:
                self._make(name, missing)
        if missing:
            raise ConfigError("\n".join(missing))

    async def start(self) -> dict[str, str]:
        """Start all parts at once. Returns the settings of these parts and of the servers that the environment gave."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for name in self.parts:
                    tasks.create_task(self._start(name))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        for part in self.parts.values():
            self._environment |= part.environment()
        return self._environment

    async def stop(self, patience: float) -> None:
        """Stop all parts at once, by SIGTERM first, and by SIGKILL after `patience` seconds."""
        await asyncio.gather(*(part.stop(patience) for part in self.parts.values()))

    async def _start(self, name: str) -> None:
        for _ in range(MAX_STARTS - 1):
            try:
                return await self.parts[name].start()
            except PortTaken:
                self.parts[name] = PARTS[name].make(self._folder, self._search_path)  # on other ports
        return await self.parts[name].start()

    def _make(self, name: str, missing: list[str]) -> None:
        try:
            self.parts[name] = PARTS[name].make(self._folder, self._search_path)
        except ConfigError as error:
            missing.append(str(error))
