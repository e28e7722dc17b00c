"""The parts, one row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline_engine.embedded.mongo import Mongo
from pipeline_engine.embedded.redis import Redis
from pipeline_engine.embedded.s3 import S3
from pipeline_engine.embedded.smtp_sink import SmtpSink
from pipeline_engine.embedded.socket_sink import SocketSink


class Part(Protocol):
    """A server of ours."""

    async def start(self) -> None:
        """Returns when it serves. Unreachable or ConfigError when it will not."""

    async def stop(self, patience: float) -> None:
        """Returns when it is gone; `patience` 0 where its data are thrown away anyhow."""

    def environment(self) -> dict[str, str]:
        """The settings that point at it. Valid after `start`."""
        ...


@dataclass(frozen=True)
class Row:
    make: Callable[[Path, str | None], Part]  # from the data folder and a stand-in for PATH
    given_by: tuple[str, ...]  # with one of these settings there, the part runs elsewhere
    beside: tuple[str, ...] = ()  # and these belong to it

    @property
    def settings(self) -> tuple[str, ...]:
        return self.given_by + self.beside

    def given(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The settings of a server that runs elsewhere; none of them when the part is ours to start."""
        if not any(environment.get(name) for name in self.given_by):
            return {}
        return {name: environment[name] for name in self.settings if environment.get(name)}


PARTS: Mapping[str, Row] = {
    "mongo": Row(Mongo, ("MONGO_URL",)),
    "redis": Row(Redis, ("REDIS_URL", "REDIS_HOST"), ("REDIS_PORT", "REDIS_PASSWORD")),
    "s3": Row(S3, ("S3_ENDPOINT_URL",), ("S3_REGION", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "S3_BUCKET")),
    "socket": Row(lambda _folder, _path: SocketSink(), ("SOCKET_URL",), ("SOCKET_PATH",)),
    "smtp": Row(lambda _folder, _path: SmtpSink(), ("SMTP_URL",)),
}
