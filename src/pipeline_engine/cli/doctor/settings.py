"""Whether the settings, each one valid by itself, make sense together."""

from __future__ import annotations

from pipeline_engine import workers
from pipeline_engine.cli.doctor.finding import Finding
from pipeline_engine.settings import Settings


def check(settings: Settings) -> list[Finding]:
    return [_systems(settings), _secret(settings)]


def _systems(settings: Settings) -> Finding:
    off = [system.switch for system in workers.SYSTEMS if not system.enabled(settings)]
    switched = f"; switched off: {', '.join(off)}" if off else ""
    return Finding.ok("settings", f"read, profile {settings.profile}{switched}")


def _secret(settings: Settings) -> Finding:
    if settings.app_secret:
        return Finding.ok("APP_SECRET", "given")
    if settings.socket_url:
        return Finding.failure("APP_SECRET", "not given, but the service at SOCKET_URL wants a token: set APP_SECRET")
    return Finding.warning("APP_SECRET", "not given: no tokens; job digests use a random key kept in MongoDB")
