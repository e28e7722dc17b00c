"""The settings of the servers, of who may ask for what, and of the daemon."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from pipeline_engine.settings.value_types import CallSeconds, Count, Days, Port, Seconds


class ServerSettings(BaseSettings):
    """One field per variable, as in `Settings`."""

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
    http_enabled: bool = Field(False, description="health, metrics and API inside the daemon")
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
    public_url: str | None = Field(None, description="base of links that leave the engine, as those to unsubscribe")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] | None = Field(None, description="default: console on a terminal, else json")
    sentry_dsn: SecretStr | None = Field(None, description="errors of jobs are reported there")
