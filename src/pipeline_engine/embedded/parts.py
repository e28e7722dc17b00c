"""The table of parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline_engine.embedded.imap import Imap
from pipeline_engine.embedded.mongo import Mongo
from pipeline_engine.embedded.redis import Redis
from pipeline_engine.embedded.s3 import S3
from pipeline_engine.embedded.smtp_sink import SmtpSink
from pipeline_engine.embedded.socket_sink import SocketSink


class Part(Protocol):
    """A server that the keeper runs."""

    async def start(self) -> None:
        """Start it. Returns once it serves. Raises: Unreachable, ConfigError."""

    async def stop(self, patience: float) -> None:
        """Stop it within `patience` seconds; 0 ends it at once, for data that are removed anyway."""

    def environment(self) -> dict[str, str]:
        """The settings that point at it. Valid after `start`."""
        ...


@dataclass(frozen=True)
class PartRow:
    """How a part is made, and the settings that replace it by a server elsewhere."""

    make: Callable[[Path, str | None], Part]  # from the data folder and a replacement for PATH
    given_by: tuple[str, ...]  # if one of these settings is given, the part runs elsewhere
    beside: tuple[str, ...] = ()  # these settings belong to it

    @property
    def settings(self) -> tuple[str, ...]:
        return self.given_by + self.beside

    def given(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The settings of the server that runs elsewhere; none if the keeper is to run the part."""
        if not any(environment.get(name) for name in self.given_by):
            return {}
        return {name: environment[name] for name in self.settings if environment.get(name)}


PARTS: Mapping[str, PartRow] = {
    "mongo": PartRow(Mongo, ("MONGO_URL",)),
    "redis": PartRow(Redis, ("REDIS_URL", "REDIS_HOST"), ("REDIS_PORT", "REDIS_PASSWORD")),
    "s3": PartRow(S3, ("S3_ENDPOINT_URL",), ("S3_REGION", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "S3_BUCKET")),
    "socket": PartRow(lambda _folder, _path: SocketSink(), ("SOCKET_URL",), ("SOCKET_PATH",)),
    "smtp": PartRow(lambda _folder, _path: SmtpSink(), ("SMTP_URL",)),
    "imap": PartRow(lambda _folder, _path: Imap(), ("IMAP_URL",)),
}
USUAL_PARTS = tuple(name for name in PARTS if name != "imap")
"""All but the mailbox, which only the demo reads."""
