"""Every setting of the engine, read from the environment or `.env`. No other module reads settings from there.

A bad value raises `ConfigError` with the variable's name, the given value and what is allowed; secrets are never shown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from pipeline_engine import logs
from pipeline_engine.errors import ConfigError
from pipeline_engine.settings.outside_settings import OutsideSettings
from pipeline_engine.settings.server_settings import ServerSettings
from pipeline_engine.settings.system_settings import SystemSettings

MIN_SECRET_BYTES = 32


class Settings(OutsideSettings, SystemSettings, ServerSettings):
    """One field per variable: the field `mongo_url` is the variable `MONGO_URL`."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    # Test runs only
    fault_testing: bool = Field(False, description="lets FAULT_PLAN break a call on purpose")
    fault_plan: str | None = Field(None, description="JSON: which failpoint, which call, what happens")
    fault_log: str | None = Field(None, description="file to which every failpoint passed is appended")

    @field_validator("app_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret and len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"needs at least {MIN_SECRET_BYTES} bytes")
        return secret

    @field_validator("mongo_url")
    @classmethod
    def _mongo(cls, url: str) -> str:
        return _with_scheme(url, "mongodb", "mongodb+srv")

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, url: str | None) -> str | None:
        return url and _with_scheme(url, "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")

    @field_validator("sentry_dsn")
    @classmethod
    def _dsn(cls, dsn: SecretStr | None) -> SecretStr | None:
        url = urlsplit(dsn.get_secret_value()) if dsn else None
        if url and not (url.scheme in ("http", "https") and url.username and url.path.rpartition("/")[2].isdigit()):
            raise ValueError("must be a DSN of Sentry, as https://KEY@HOST/NUMBER")
        return dsn

    @property
    def redis(self) -> str:
        """The Redis URL, whether it was given whole or in parts."""
        if self.redis_url:
            return self.redis_url
        secret = f":{quote(self.redis_password.get_secret_value(), safe='')}@" if self.redis_password else ""
        return f"redis://{secret}{self.redis_host}:{self.redis_port}/0"

    @property
    def database(self) -> str:
        """The name of the Mongo database."""
        return urlsplit(self.mongo_url).path.strip("/") or "crm"

    @property
    def log_style(self) -> Literal["json", "console"]:
        """The format of log lines: as LOG_FORMAT says; without it, `console` on a terminal and `json` elsewhere."""
        return self.log_format or ("console" if sys.stderr.isatty() else "json")


def _with_scheme(url: str, *schemes: str) -> str:
    if urlsplit(url).scheme not in schemes:
        raise ValueError("must start with " + " or ".join(f"{scheme}://" for scheme in schemes))
    return url


def load(**given: Any) -> Settings:
    """The settings; `given` wins over the environment, and that over `.env`.

    Raises: ConfigError naming every bad variable.
    """
    try:
        found = Settings(**given)
    except ValidationError as failure:
        raise ConfigError("\n".join(_message(error) for error in failure.errors())) from None
    logs.hide_secrets(*_secrets(found))
    return found


def _secrets(settings: Settings) -> Iterator[str]:
    """Every secret value, and the password in every URL."""
    for name in Settings.model_fields:
        value = getattr(settings, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value or "")
        if isinstance(value, SecretStr) and "://" not in text:
            yield text
        if "://" in text and "@" in text:
            yield unquote(text.partition("://")[2].rpartition("@")[0].partition(":")[2])


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings, with these variables instead of those in the environment (such as the URLs of embedded servers)."""
    return load(**{name.lower(): value for name, value in environment.items()})


def _message(error: Mapping[str, Any]) -> str:
    name = str(error["loc"][0])
    field = Settings.model_fields[name]
    secret = "SecretStr" in str(field.annotation) or "url" in name
    given = "(not shown)" if secret else repr(error["input"])
    reason = str(error["msg"]).removeprefix("Value error, ")
    return f"{name.upper()}: given {given}: {reason}"
