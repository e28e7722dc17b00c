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
from pipeline_engine.system_settings import CallSeconds, Count, Days, Port, Seconds, SystemSettings

Unknown = Literal["resend", "park"]

MIN_SECRET_BYTES = 32


class Settings(SystemSettings):
    """One field per variable: the field `mongo_url` is the variable `MONGO_URL`."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    # Servers
    mongo_url: str = Field("mongodb://localhost:27017/crm", description="database name in the path; `crm` if none")
    mongo_timeout: CallSeconds = Field(20, description="seconds any one call to MongoDB may take, retries included")
    motor_max_workers: Count = Field(
        64, le=10_000, description="threads of motor, so that slow queries hold no heartbeat back"
    )
    redis_url: str | None = Field(
        None, description="`rediss://` = TLS; or the three below; default redis://localhost:6379/0"
    )
    redis_host: str = "localhost"
    redis_port: Port = 6379
    redis_password: SecretStr | None = None
    redis_prefix: str = Field("pe:", description="every key of the engine in Redis starts with this")
    s3_endpoint_url: str | None = Field(None, description="Wasabi or any S3; empty: Amazon's")
    s3_region: str = "us-east-1"
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    s3_bucket: str = "crm"
    socket_url: str | None = Field(None, description="the General Socket service; empty: events are logged only")
    socket_path: str = "socket.io"

    # Identity
    app_secret: SecretStr | None = Field(None, description="HS256 for tokens; at least 32 bytes, refused if shorter")
    token_issuer: str | None = Field(None, description="checked on incoming tokens when set")
    token_audience: str | None = Field(None, description="checked on incoming tokens when set")
    token_max_lifetime: Seconds = Field(3600, description="longest life of an incoming token, seconds")

    # Which systems this daemon runs
    qm_deals: bool = Field(True, description="deal import")
    qm_deals_automations: bool = Field(True, description="deal automations")
    qm_funnels_clone: bool = Field(True, description="funnel cloning")
    qm_leads: bool = Field(True, description="lead pipelines")
    qm_events: bool = Field(True, description="CRM events")
    qm_crm_jobs: bool = Field(True, description="scheduled CRM jobs")
    qm_hooks: bool = Field(False, description="the HTTP trigger API")

    # The daemon
    profile: Literal["default", "frugal"] = Field("default", description="`frugal`: for metered Redis")
    shutdown_grace: Seconds = Field(20, description="seconds that running work gets after SIGTERM")
    lease_seconds: Seconds = Field(15, description="a claim lives this long without a heartbeat")
    heartbeat_seconds: Seconds = Field(5, description="how often claims are renewed and lost ones looked for")
    clock_refresh_seconds: Seconds = Field(30, description="how often the offset to the server's clock is read")
    http_enabled: bool = Field(False, description="admin pages and API inside the daemon")
    http_host: str = "127.0.0.1"
    http_port: Port = 6002
    queue_concurrency: Count = Field(3, description="places of each CRM event lane")
    queue_max_jobs_per_second: Count = Field(5, description="rate of the CRM event lanes over all daemons")
    outbox_sweep_seconds: Seconds = Field(5, description="how often waiting socket events are looked for")
    event_sweep_seconds: Seconds = Field(30, description="how often due CRM events are looked for")
    activity_log_days: Days = Field(365, description="how long activity_log is kept")
    webhooks_sweep_seconds: Seconds = Field(30, description="how often due webhook deliveries are looked for")
    webhook_timeout: CallSeconds = Field(10, le=15, description="seconds that an endpoint has for its answer")
    webhook_delivery_days: Days = Field(30, le=366, description="how long webhook_deliveries are kept")
    allow_private_hosts: bool = Field(
        False, description="hosts that a tenant sets may be private, webhooks plain http: for tests and intranets"
    )
    public_url: str | None = Field(
        None, description="base of links that leave the engine, also of those to unsubscribe"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] | None = Field(None, description="default: console on a terminal, else json")
    sentry_dsn: SecretStr | None = Field(None, description="errors of jobs are reported there")

    # What leaves the engine
    unknown_email: Unknown = Field("resend", description="a send that may or may not have gone out")
    unknown_sms: Unknown = "park"
    unknown_crm_api: Unknown = "resend"
    smtp_url: SecretStr | None = Field(None, description="smtp://, smtps:// or smtp+starttls://user:pass@host:port")
    smtp_from: str | None = None
    twilio_account_sid: str | None = None
    twilio_auth_token: SecretStr | None = None
    twilio_from: str | None = None
    twilio_base_url: str | None = None
    crm_api_url: str | None = Field(None, description="the CRM's internal API (InstaReport, InstaSite)")
    preview_domain: str | None = Field(None, description="its `support_tokens` entry is the chat key of a clone")
    credentials_keys: SecretStr | None = Field(None, description="Fernet keys, newest first, comma-separated")
    token_check_days: Days = Field(7, description="the seed's: OAuth tokens that expire within it are refreshed")
    apollo_api_key: SecretStr | None = None
    apollo_base_url: str | None = None
    apollo_calls_per_minute: Count = Field(50, description="over all daemons; Apollo's limit depends on the plan")
    contact_sync_days: Days = Field(30, description="the seed's: contacts enriched longer ago are enriched again")
    contact_sync_budget: Count = Field(1000, description="contacts of one account and day, unless its profile says")
    google_service_account_file: str | None = None
    google_sheets_base_url: str | None = None
    google_reads_per_minute: Count = Field(300, description="Google's limit of a project, over all daemons")
    google_reads_per_user: Count = Field(60, description="Google's limit of a user per minute, over all daemons")
    llm_base_url: str | None = None
    llm_api_key: SecretStr | None = None
    llm_model: str | None = None
    llm_timeout: CallSeconds = Field(20, le=25, description="seconds that a call of the model may take")
    llm_tokens_per_day: Count = Field(50_000, description="tokens of one account and day, unless its profile says")

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
