"""Pipeline Engine: the background engine of a CRM, in one asyncio daemon."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Made only when arq reads the attribute, because that loads the settings and pings Redis.
    if name == "WorkerSettings":
        from pipeline_engine.daemon import worker_settings

        return worker_settings()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
