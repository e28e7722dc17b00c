"""How `leads` shows documents: rows of tables and facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline_engine.domain.leads.control import LeadRun
from pipeline_engine.domain.leads.migration import Place
from pipeline_engine.domain.leads.sla import Delays

Document = Mapping[str, Any]

ENTRY_COLUMNS = ("lead", "account", "stage", "status", "action", "state", "due (UTC)", "attempts", "reason")
ACTION_COLUMNS = ("number", "type", "config", "state", "due (UTC)", "performed (UTC)", "attempts", "last error")
BEFORE_COLUMNS = ("entered before", "stage", "status", "left (UTC)", "reason")
PLACE_COLUMNS = ("leads", "are at", "go on with", "how")
SLA_ENDS = ("later", "half within", "99% within", "longest")

MAX_CONFIG = 60
"""Letters of a configuration that a table shows."""


def entry_row(entry: Document) -> tuple[object, ...]:
    """One entry of a lead into a stage."""
    who = (entry.get(name) for name in ("lead_id", "account_id", "stage_id", "status"))
    how = (entry.get(name) for name in ("current_status", "perform_at", "attempts"))
    return (*who, _action(entry), *how, entry.get("reason") or entry.get("last_error"))


def action_row(row: Document) -> tuple[object, ...]:
    """One action of an entry."""
    what = (row.get("sequence_number"), row.get("type"), _config(row.get("config")))
    return (*what, *(row.get(name) for name in ("status", "perform_at", "performed_at", "attempts", "last_error")))


def before_row(entry: Document) -> tuple[object, ...]:
    """An earlier entry of the lead."""
    return tuple(entry.get(name) for name in ("entered_at", "stage_id", "status", "left_at", "reason"))


def place_row(place: Place) -> tuple[object, ...]:
    """Where leads of a stage are, and where `leads migrate` takes them."""
    here = f"{place.sequence} {place.type}"
    if place.target is None:
        return place.leads, here, "", "their run is completed"
    there = f"{place.target['sequence_number']} {place.target.get('type')}"
    return place.leads, here, there, "as before" if place.stays else "it begins now"


def sla_columns(edges: Sequence[float]) -> tuple[str, ...]:
    """The headings for rows with these edges."""
    return ("account", "type", "actions", *(f"≤ {edge:g} s" for edge in edges), *SLA_ENDS)


def sla_row(delays: Delays) -> tuple[object, ...]:
    """The delays of one account and type."""
    shares = (_seconds(delays.within(share), delays.edges[-1]) for share in (0.5, 0.99))
    return delays.account_id, delays.type, delays.total, *delays.counts, *shares, f"{delays.longest:.1f} s"


def facts(run: LeadRun) -> list[tuple[str, object]]:
    """The lead and its current entry."""
    lead, entry = run.lead, run.current or {}
    return [
        ("lead", lead["_id"]),
        ("name", lead.get("name")),
        ("account", lead.get("account_id")),
        ("status of the lead", lead.get("status")),
        ("stage", entry.get("stage_id") or lead.get("stage_id")),
        ("entered", entry.get("entered_at")),
        ("status of its run", entry.get("status") or "it never entered a stage"),
        ("action", _action(entry)),
        ("state", entry.get("current_status")),
        ("due", entry.get("perform_at")),
        ("attempts", entry.get("attempts") or None),
        ("last error", entry.get("last_error")),
        ("reason", entry.get("reason")),
        ("left", entry.get("left_at")),
    ]


def _action(entry: Document) -> str | None:
    sequence = entry.get("current_sequence")
    return None if sequence is None else f"{sequence} {entry.get('current_type')}"


def _config(config: object) -> str:
    options: Iterable[tuple[object, object]] = config.items() if isinstance(config, Mapping) else ()
    text = ", ".join(f"{name}: {value}" for name, value in options)
    return text if len(text) <= MAX_CONFIG else f"{text[:MAX_CONFIG]}…"


def _seconds(edge: float | None, last: float) -> str:
    return f"over {last:g} s" if edge is None else f"{edge:g} s"
