"""Every setting of the engine, read from the environment or `.env`. No other module reads settings from there.

A bad value raises `ConfigError` with the variable's name, the given value and what is allowed; secrets are never shown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline_engine import logs
from pipeline_engine.errors import ConfigError

Seconds = Annotated[float, Field(gt=0, le=366 * 86400, allow_inf_nan=False)]
CallSeconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, le=24_000, allow_inf_nan=False)]  # MongoDB holds the seconds of a TTL in 31 bits
Count = Annotated[int, Field(ge=1, le=2**53)]
Port = Annotated[int, Field(ge=1, le=65535)]
Unknown = Literal["resend", "park"]

MIN_SECRET_BYTES = 32


class Settings(BaseSettings):
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
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] | None = Field(None, description="default: console on a terminal, else json")
    sentry_dsn: SecretStr | None = None

    # Deal import
    import_sweep_seconds: Seconds = Field(5, description="the seed's cron: every 5 seconds")
    import_attempts: Count = Field(3, description="the seed's attempts before an import has failed")
    import_retry_seconds: Seconds = Field(4, description="the seed's 4 s between attempts")
    import_chunk_rows: Count = Field(500, description="rows of one job")
    import_chunks_ahead: Count = Field(16, description="chunks cut but not yet done, per import")
    import_slice_seconds: Seconds = Field(5, description="planning time of one import while others wait")
    import_key_prefix: str | None = Field(None, description="only S3 keys under it, e.g. imports/{account_id}/")
    import_max_bytes: Count = Field(2 * 1024**3, description="a larger file is refused")
    import_max_rows: Count = Field(2_000_000, description="rows beyond are refused")
    import_log_rows: Count = Field(1000, description="errors kept in csv_imports; all are in the error CSV")
    stage_name_case: Literal["lower", "keep"] = Field("lower", description="spelling of stages made by an import")

    # Deal automations
    automation_sweep_seconds: Seconds = Field(60, description="the seed's cron: every minute")
    automation_batch: Count = Field(200, description="deals of one log document")
    automation_slice_seconds: Seconds = Field(
        5, description="working time of one automation before others get its place"
    )
    automation_log_days: Days = Field(90, description="how long automation_logs of ours are kept")

    # Lead pipelines
    leads_sweep_seconds: Seconds = Field(30, description="how often due actions of leads are looked for")
    leads_slice_seconds: Seconds = Field(2, description="working time of one account before others get its place")
    leads_batch: Count = Field(500, description="leads that one batch of internal actions claims")
    leads_send_batch: Count = Field(100, description="leads that one batch of e-mails or texts claims")
    leads_active_max: Count = Field(100_000, description="leads of one account in running automation; others queue")
    leads_attempts: Count = Field(5, description="attempts before an action has failed")
    leads_retry_seconds: Seconds = Field(4, description="pause after the first failed attempt; it doubles")
    leads_moves_max: Count = Field(20, description="moves in a row without a wait before a lead is stopped")
    leads_sla_seconds: Seconds = Field(120, description="an action that starts later after it was due is warned about")
    leads_email_limit: Count | None = Field(None, description="e-mails of one account per minute, unless it has limits")
    leads_sms_limit: Count | None = Field(None, description="texts of one account per minute, unless it has limits")

    # Scheduled CRM jobs
    crm_jobs_off: str = Field("", description="jobs that are left out, with commas between: stale_deals, daily_insight")

    # Funnel cloning
    funnel_sweep_seconds: Seconds = Field(300, description="the seed's cron: every 5 minutes")
    funnels_per_run: Count = Field(3, description="the seed's funnels of one look; also of one account at a time")
    clone_attempts: Count = Field(3, description="the seed's attempts of one run, for a funnel and for each step")
    clone_retry_seconds: Seconds = Field(4, description="the seed's 4 s between attempts")
    clone_runs: Count = Field(3, description="runs that fail before a clone has failed")
    clone_copies: Count = Field(10, description="images copied at once")

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
    apollo_api_key: SecretStr | None = None
    apollo_base_url: str | None = None
    google_service_account_file: str | None = None
    google_sheets_base_url: str | None = None
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
        return url and _with_scheme(url, "redis", "rediss", "unix")

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
