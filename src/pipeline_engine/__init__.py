"""Pipeline Engine: the background engine of a CRM, in one asyncio daemon."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Loaded when arq asks for it, and not before: it reads the settings and looks for Redis.
    if name == "WorkerSettings":
        from pipeline_engine.daemon import worker_settings

        return worker_settings()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
