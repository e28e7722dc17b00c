"""S3: whether the bucket can be reached."""

from __future__ import annotations

from pipeline_engine.app import storage_of
from pipeline_engine.cli.doctor.finding import Finding
from pipeline_engine.errors import EngineError
from pipeline_engine.settings import Settings


async def check(settings: Settings) -> list[Finding]:
    try:
        async with storage_of(settings) as storage:
            await storage.check()
    except (EngineError, ValueError) as error:  # ValueError: the library's word for an endpoint that is no URL
        return [Finding.failure("S3", str(error))]
    return [Finding.ok("S3", f"bucket {settings.s3_bucket} at {settings.s3_endpoint_url or 'Amazon'}")]
