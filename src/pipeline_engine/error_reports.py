"""Reports errors of jobs to Sentry, when there is a SENTRY_DSN. No call raises or waits for a server.

A report has the error's type and place, the kind of the job, its lane and attempt. It has no argument of the job, no
local variable and no line of source; of a foreign exception, whose message may quote a tenant's data, not the message.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pipeline_engine import errors, logs

if TYPE_CHECKING:
    from sentry_sdk import Client

CLOSE_TIMEOUT = 1.0
"""Seconds that reports still under way get when the process ends."""
REPORTED = "pipeline_engine_reported"

log = logs.get(__name__)

_client: Client | None = None


def start(dsn: str | None) -> None:
    """From now on send reports to this DSN; without one, to nowhere."""
    global _client
    if dsn is None:
        return
    import sentry_sdk  # takes 0.2 s, which a process without a DSN saves

    try:
        _client = sentry_sdk.Client(
            dsn,
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            send_client_reports=False,
            include_local_variables=False,
            include_source_context=False,
            max_breadcrumbs=0,
        )
    except Exception as error:
        log.warning("error_reports.not_started", error=type(error).__name__, setting="SENTRY_DSN")


async def stop() -> None:
    """Send what is under way, for at most a second, and report nothing more."""
    global _client
    client, _client = _client, None
    if client is not None:
        await asyncio.to_thread(client.close, CLOSE_TIMEOUT)


def add(error: BaseException | None, job: str, text: str = "", **tags: object) -> None:
    """Report an error of a job of this kind, once however often it is added; without an error, the text."""
    if _client is None or (error is not None and REPORTED in error.__dict__):
        return
    try:
        if error is not None:
            error.__dict__[REPORTED] = True
        _client.capture_event(_event(_client, error, text, {"job": job, **tags}))  # type: ignore[arg-type]
    except Exception as failure:
        log.warning("error_report.failed", error=type(failure).__name__)


def _event(client: Client, error: BaseException | None, text: str, tags: dict[str, object]) -> dict[str, Any]:
    event: dict[str, Any] = {"message": logs.clean(text)}
    if error is not None:
        from sentry_sdk.utils import event_from_exception

        event, _ = event_from_exception(error, client_options=client.options)  # type: ignore[assignment]
        for one in event["exception"]["values"]:
            one["value"] = logs.clean(str(one["value"])) if one.get("module") == errors.__name__ else ""
    return {**event, "level": "error", "tags": {name: logs.clean(str(value)) for name, value in tags.items()}}
