"""The settings of the services that the engine calls, and of what leaves it."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from pipeline_engine.settings.value_types import CallSeconds, Count, Days, Unknown


class OutsideSettings(BaseSettings):
    """One field per variable, as in `Settings`."""

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
