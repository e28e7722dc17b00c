"""Whether the settings, each one valid by itself, make sense together."""

from __future__ import annotations

from pipeline_engine import failpoints, lanes, workers
from pipeline_engine.cli.doctor.finding import Finding
from pipeline_engine.clock import Clock
from pipeline_engine.errors import ConfigError
from pipeline_engine.providers.from_settings import mailer_of, sms_of, tokens_of
from pipeline_engine.providers.google_account import read_key_file
from pipeline_engine.providers.integrations import credentials_of
from pipeline_engine.providers.mailboxes import Mailboxes
from pipeline_engine.settings import Settings


def check(settings: Settings) -> list[Finding]:
    return [_systems(settings), _secret(settings), _credentials(settings), *_unusable(settings)]


def _unusable(settings: Settings) -> list[Finding]:
    """What keeps a daemon, or `run-once`, from starting, found as they find it: by making what is set."""
    found = []
    made_at_start = (
        mailer_of,
        sms_of,
        Mailboxes.of,
        lambda given: tokens_of(given, Clock()),
        credentials_of,
        _key_file,
    )
    for make in (*made_at_start, _faults, _redis):
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


def _key_file(settings: Settings) -> None:
    if settings.google_service_account_file:
        read_key_file(settings.google_service_account_file)


def _credentials(settings: Settings) -> Finding:
    if settings.credentials_keys:
        return Finding.ok("credentials", "passwords and tokens that the engine writes are encrypted")
    return Finding.warning("credentials", "refreshed tokens are stored as plain text: set CREDENTIALS_KEYS")


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
