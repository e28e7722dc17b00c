"""Whether the settings, each one valid by itself, make sense together."""

from __future__ import annotations

from pipeline_engine import failpoints, lanes, workers
from pipeline_engine.app import mailer_of, sms_of, tokens_of
from pipeline_engine.cli.doctor.finding import Finding
from pipeline_engine.clock import Clock
from pipeline_engine.errors import ConfigError
from pipeline_engine.settings import Settings


def check(settings: Settings) -> list[Finding]:
    return [_systems(settings), _secret(settings), *_unusable(settings)]


def _unusable(settings: Settings) -> list[Finding]:
    """What keeps a daemon, or `run-once`, from starting, found as they find it: by making what is set."""
    found = []
    for make in (mailer_of, sms_of, lambda given: tokens_of(given, Clock()), _faults, _redis):
        try:
            make(settings)
        except ConfigError as error:
            found.append(Finding.failure("settings", str(error)))
    return found


def _faults(settings: Settings) -> None:
    if settings.fault_testing:
        failpoints.arm(settings.fault_plan, None)
        failpoints.disarm()


def _redis(settings: Settings) -> None:
    lanes.connect(settings.redis)


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
