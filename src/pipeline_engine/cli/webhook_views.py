"""How `webhooks` shows documents: rows of tables and facts, without secrets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from pipeline_engine import logs

Document = Mapping[str, Any]

WEBHOOK_COLUMNS = ("id", "account", "host", "events", "active", "failures", "failing since (UTC)", "disabled because")
DELIVERY_COLUMNS = ("id", "event", "type", "state", "attempts", "last status", "ms", "next (UTC)", "error")


def webhook_row(webhook: Document) -> tuple[object, ...]:
    """One endpoint. Of its URL the host: a path can hold a secret."""
    who = (webhook["_id"], webhook.get("account_id"), _host(webhook.get("url")), _list(webhook.get("events")))
    health = (webhook.get("failures") or 0, webhook.get("failing_since"))
    return (*who, _switch(webhook), *health, _clean(webhook.get("disabled_reason")))


def delivery_row(delivery: Document) -> tuple[object, ...]:
    """One delivery with its last attempt."""
    attempts = [one for one in delivery.get("attempts") or () if isinstance(one, Mapping)]
    last: Document = attempts[-1] if attempts else {}
    error = last.get("error") or delivery.get("reason") or ("" if not attempts else _unended(last))
    next_at = delivery.get("next_at") if delivery.get("state") == "pending" else None
    what = tuple(delivery.get(name) for name in ("_id", "event_id", "type", "state"))
    return (*what, len(attempts), last.get("status"), last.get("ms"), next_at, _clean(error))


def facts(webhook: Document) -> list[tuple[str, object]]:
    """One endpoint."""
    return [
        ("id", webhook["_id"]),
        ("account", webhook.get("account_id")),
        ("url", _clean(webhook.get("url"))),
        ("events", _list(webhook.get("events"))),
        ("filter", webhook.get("filter")),
        ("active", _switch(webhook)),
        ("disabled because", _clean(webhook.get("disabled_reason"))),
        ("deliveries a minute", webhook.get("rate_per_minute")),
        ("failures in a row", webhook.get("failures") or None),
        ("failing since", webhook.get("failing_since")),
        ("rests until", webhook.get("rest_until")),
        ("two secrets until", webhook.get("previous_until")),
        ("held by", webhook.get("lease_owner")),
        ("error", _clean(webhook.get("error"))),
    ]


def _switch(webhook: Document) -> str:
    return "no" if webhook.get("active") is False else "yes"


def _host(url: object) -> str:
    try:
        return urlsplit(str(url)).hostname or "none"
    except ValueError:
        return "none"


def _list(events: object) -> str:
    return ", ".join(map(str, events)) if isinstance(events, Sequence) and not isinstance(events, str) else ""


def _unended(attempt: Document) -> str:
    return "" if attempt.get("status") else "its result was not stored: the process ended"


def _clean(text: object) -> str | None:
    return logs.clean(str(text)) if text else None
