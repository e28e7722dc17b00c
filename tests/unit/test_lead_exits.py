"""Whose runs a document of a source ends, and which of them: what is said of the time before a run ends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.leads import enter, exits
from pipeline_engine.domain.leads.ending import began_after
from pipeline_engine.domain.leads.schedule import RunEnd

NOW = datetime(2026, 10, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LEAD, DEAL, ACCOUNT = ObjectId(), ObjectId(), ObjectId()


class Repos:
    """One lead with the address ada@example.com, and its deal."""

    async def by_address(self, _account: ObjectId, addresses: Sequence[str]) -> list[Any]:
        return [LEAD] if "ada@example.com" in addresses else []

    async def lead_of_deal(self, _account: ObjectId, deal: ObjectId) -> Any:
        return LEAD if deal == DEAL else None


async def ended(monkeypatch: pytest.MonkeyPatch, collection: str, *documents: dict[str, Any]) -> dict[str, Any]:
    """{exit: {lead: up to when}} of the runs that these documents end."""
    asked: dict[str, Any] = {}

    async def note(_app: Any, _account: Any, _leads: Sequence[str], exit: str, moments: Mapping[str, datetime]) -> int:
        asked.update({exit: dict(moments)} if moments else {})
        return len(moments)

    monkeypatch.setattr(exits, "exit_runs", note)
    app: Any = SimpleNamespace(repos=SimpleNamespace(leads=Repos(), lead_exits=Repos()))
    await exits._end_runs(app, collection, [{"account_id": ACCOUNT, **one} for one in documents])
    return asked


@pytest.mark.parametrize("name", ["deal_id", "dealId", "lead_id", "leadId"])
async def test_an_event_names_deal_or_lead_in_both_spellings(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    data = {name: str(DEAL if name.startswith("deal") else LEAD)}
    event = {"type": "deal.won", "occurred_at": NOW, "data": data}
    assert await ended(monkeypatch, "crm_events", event) == {"won": {str(LEAD): NOW + DAY}}


async def test_of_two_events_the_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    event = {"type": "email.bounced", "data": {"lead_id": LEAD}}
    both = [{**event, "occurred_at": NOW}, {**event, "occurred_at": NOW - DAY}]
    assert await ended(monkeypatch, "crm_events", *both) == {"bounced": {str(LEAD): NOW + DAY}}
    assert await ended(monkeypatch, "crm_events", *both, event) == {"bounced": {str(LEAD): exits.ALWAYS}}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "email.bounced", "data": {"lead_id": LEAD, "bounce_type": "soft"}},
        {"type": ["deal.won"], "data": {"lead_id": LEAD}},
        {"type": "deal.won", "data": [1]},
        {"type": "deal.won"},
    ],
)
async def test_an_event_that_says_less_ends_nothing(monkeypatch: pytest.MonkeyPatch, event: dict[str, Any]) -> None:
    assert await ended(monkeypatch, "crm_events", event) == {}


@pytest.mark.parametrize("attendee", ["Ada@example.com", {"email": " ada@example.com", "status": "accepted"}])
async def test_a_meeting_has_attendees_of_either_kind(monkeypatch: pytest.MonkeyPatch, attendee: object) -> None:
    event = {"attendees": [attendee, 7], "starts_at": NOW + DAY}
    assert await ended(monkeypatch, "calendar_events", event) == {
        "meeting": {str(LEAD): NOW + DAY + exits.CLOCKS_DIFFER}
    }


@pytest.mark.parametrize(
    ("entered", "moment", "is_later"),
    [
        (NOW, NOW - DAY, True),
        (NOW, NOW + DAY, False),
        (NOW, exits.ALWAYS, False),
        (NOW, None, False),
        ("today", NOW - DAY, False),
    ],
)
def test_a_run_that_began_after_what_happened_goes_on(entered: object, moment: datetime | None, is_later: bool) -> None:
    assert began_after({"entered_at": entered}, moment) is is_later


@pytest.mark.parametrize(
    ("status", "allowed", "ends"),
    [("won", {}, True), ("won", {"won": False}, False), ("lost", {"won": False}, True), ("open", {}, False)],
)
async def test_the_run_of_a_closed_lead_ends_before_it_begins(status: str, allowed: dict[str, Any], ends: bool) -> None:
    class Stages:
        async def stages(self, _account: ObjectId, ids: Sequence[Any]) -> dict[str, Any]:
            return {str(id): {"exits": allowed} for id in ids}

    entry = {"_id": ObjectId(), "lead_id": LEAD, "stage_id": ObjectId()}
    slice: Any = SimpleNamespace(app=SimpleNamespace(repos=SimpleNamespace(lead_pauses=Stages())), account_id=ACCOUNT)
    found = await enter._closed(slice, [entry], {str(LEAD): {"status": status}})
    assert found == ({entry["_id"]: RunEnd("cancelled", status)} if ends else {})
