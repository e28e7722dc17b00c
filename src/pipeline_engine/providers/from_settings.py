"""The clients that the settings name. Each connects when it is entered as a context manager, or first used."""

from __future__ import annotations

from pipeline_engine.clock import Clock
from pipeline_engine.errors import ConfigError
from pipeline_engine.providers.claims import Rules
from pipeline_engine.providers.email import Mailer
from pipeline_engine.providers.sms import Sms
from pipeline_engine.providers.sockets import LoggedSockets, Sockets, SocketService
from pipeline_engine.providers.storage import Storage
from pipeline_engine.providers.tokens import ServiceTokens
from pipeline_engine.settings import Settings


def storage_of(settings: Settings) -> Storage:
    """The bucket that the settings name. It connects when entered as a context manager."""
    secret = settings.s3_secret_access_key
    return Storage(
        endpoint=settings.s3_endpoint_url,
        region=settings.s3_region,
        key_id=settings.s3_access_key_id,
        secret=secret.get_secret_value() if secret else None,
        bucket=settings.s3_bucket,
    )


def tokens_of(settings: Settings, clock: Clock) -> ServiceTokens | None:
    """The tokens of APP_SECRET, if there is one. Raises: ConfigError."""
    if not settings.app_secret:
        return None
    rules = Rules(settings.token_issuer, settings.token_audience, settings.token_max_lifetime)
    return ServiceTokens(settings.app_secret.get_secret_value(), clock, rules)


def sockets_of(settings: Settings, tokens: ServiceTokens | None) -> Sockets:
    """The service at SOCKET_URL; without one, events are logged. Raises: ConfigError when there is no APP_SECRET."""
    if settings.socket_url is None:
        return LoggedSockets()
    if tokens is None:
        raise ConfigError(
            "APP_SECRET: not given: the service at SOCKET_URL wants a token; set one, or unset SOCKET_URL"
        )
    return SocketService(settings.socket_url, settings.socket_path, tokens)


def mailer_of(settings: Settings) -> Mailer:
    """The mailer of SMTP_URL. It connects when it first sends; without SMTP_URL it refuses every message."""
    return Mailer(settings.smtp_url.get_secret_value() if settings.smtp_url else None, settings.smtp_from)


def sms_of(settings: Settings) -> Sms:
    """The SMS sender of the TWILIO settings; without them it refuses every message."""
    token = settings.twilio_auth_token.get_secret_value() if settings.twilio_auth_token else None
    return Sms(settings.twilio_account_sid, token, settings.twilio_from, settings.twilio_base_url)
