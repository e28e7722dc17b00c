"""What the settings make of the environment, and what they say about what they cannot use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import SSLConnection

from pipeline_engine import settings
from pipeline_engine.errors import ConfigError
from pipeline_engine.lanes import connect
from pipeline_engine.settings import Settings

SECRET = "correct horse battery staple, long enough"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no `.env` of the machine that runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def complaint(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as refused:
        settings.load()
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "given", "allowed"),
    [
        ("PROFILE", "fast", "'default' or 'frugal'"),
        ("HTTP_PORT", "99999", "less than or equal to 65535"),
        ("HTTP_PORT", "http", "valid integer"),
        ("IMPORT_ATTEMPTS", "0", "greater than or equal to 1"),
        ("IMPORT_SWEEP_SECONDS", "-5", "greater than 0"),
        ("QM_DEALS", "perhaps", "valid boolean"),
        ("LOG_LEVEL", "loud", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("UNKNOWN_SMS", "retry", "'resend' or 'park'"),
        ("STAGE_NAME_CASE", "upper", "'lower' or 'keep'"),
    ],
)
def test_a_bad_value_is_named_with_what_was_given_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, allowed: str
) -> None:
    message = complaint(monkeypatch, **{name: given})

    assert message.startswith(f"{name}: given {given!r}: ")
    assert allowed in message


def test_every_bad_value_has_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    message = complaint(monkeypatch, PROFILE="fast", HTTP_PORT="0", QM_DEALS="perhaps")

    assert sorted(line.split(":")[0] for line in message.splitlines()) == ["HTTP_PORT", "PROFILE", "QM_DEALS"]


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("APP_SECRET", "hunter2", "at least 32 bytes"),
        ("MONGO_URL", "postgres://admin:hunter2@db/crm", "mongodb:// or mongodb+srv://"),
        (
            "REDIS_URL",
            "http://:hunter2@cache",
            "redis:// or rediss:// or unix:// or redis+sentinel:// or rediss+sentinel://",
        ),
        ("MONGO_URL", "mongodb://admin:hunter2@[::1/crm", "Invalid IPv6 URL"),
    ],
)
def test_what_may_hold_a_secret_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    message = complaint(monkeypatch, **{name: value})

    assert message.startswith(f"{name}: given (not shown): ")
    assert allowed in message
    assert "hunter2" not in message


def test_a_secret_is_as_long_as_its_bytes() -> None:
    assert settings.load(app_secret="ü" * 16).app_secret is not None
    with pytest.raises(ConfigError, match="32 bytes"):
        settings.load(app_secret="ü" * 15)


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    secrets: dict[str, Any] = {
        name: SECRET for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
    }

    secrets["sentry_dsn"] = f"https://{SECRET.replace(' ', '-')}@sentry.test/1"

    assert len(secrets) > 5
    assert SECRET not in repr(settings.load(**secrets))


def test_no_field_that_holds_a_secret_is_plain_text() -> None:
    plain = [
        name
        for name, field in Settings.model_fields.items()
        if name.endswith(("_secret", "_password", "_token", "_api_key", "_dsn"))
        and "SecretStr" not in str(field.annotation)
    ]

    assert plain == []


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "redis://localhost:6379/0"),
        ({"redis_host": "cache", "redis_port": "6380"}, "redis://cache:6380/0"),
        ({"redis_host": "cache", "redis_password": "p@ss/word:1"}, "redis://:p%40ss%2Fword%3A1@cache:6379/0"),
        ({"redis_url": "rediss://user:pw@cache:7000/2", "redis_host": "other"}, "rediss://user:pw@cache:7000/2"),
    ],
)
@pytest.mark.covers("CL-02")
def test_redis_is_one_url_or_host_port_and_password(given: dict[str, str], url: str) -> None:
    assert settings.load(**given).redis == url


@pytest.mark.covers("CL-02")
def test_a_password_in_parts_arrives_as_it_was_given_and_rediss_means_tls() -> None:
    parts = connect(settings.load(redis_password="p@ss/word:1").redis).connection_pool
    assert parts.connection_kwargs["password"] == "p@ss/word:1"

    tls = connect(settings.load(redis_url="rediss://user:pw@cache:7000/2").redis).connection_pool
    assert tls.connection_class is SSLConnection
    assert (tls.connection_kwargs["username"], tls.connection_kwargs["db"]) == ("user", 2)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("mongodb://localhost:27017/sales", "sales"),
        ("mongodb://localhost:27017", "crm"),
        ("mongodb://localhost:27017/", "crm"),
        ("mongodb://a:1,b:2,c:3/sales?replicaSet=rs0", "sales"),
        ("mongodb://a:1,b:2/?replicaSet=rs0", "crm"),
        ("mongodb+srv://user:pw@cluster.example/sales", "sales"),
    ],
)
def test_the_database_is_named_by_the_path_of_the_url(url: str, name: str) -> None:
    assert settings.load(mongo_url=url).database == name


def test_the_environment_wins_over_the_file_and_what_is_given_over_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("S3_BUCKET=file\nS3_REGION=file\nHTTP_HOST=file\nNOT_OURS=1\n")
    monkeypatch.setenv("S3_REGION", "environment")
    monkeypatch.setenv("HTTP_HOST", "environment")

    found = settings.load(http_host="given")

    assert (found.s3_bucket, found.s3_region, found.http_host) == ("file", "environment", "given")


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("S3_BUCKET", "SOCKET_URL", "APP_SECRET", "HTTP_PORT"):
        monkeypatch.setenv(name, "")

    found = settings.load()

    assert (found.s3_bucket, found.socket_url, found.app_secret, found.http_port) == ("crm", None, None, 6002)


def test_logs_are_for_people_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert settings.load().log_style == "console"
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    assert settings.load().log_style == "json"
    assert settings.load(log_format="console").log_style == "console"


def test_the_attempts_and_the_pause_of_imports_are_the_seeds() -> None:
    defaults = settings.load(_env_file=None)
    assert (defaults.import_attempts, defaults.import_retry_seconds) == (3, 4)
