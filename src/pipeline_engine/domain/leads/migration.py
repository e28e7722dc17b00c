"""Brings the edited actions of a stage to the leads on their way through it; they keep their place by its number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.leads.control import opened_fields
from pipeline_engine.domain.leads.enter import numbered, rows_of
from pipeline_engine.domain.leads.schedule import Position, RunEnd, opened
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.lead_repos import LeadRepos

BATCH = 500
"""Entries that are claimed together."""
BY_ID = [("_id", 1)]
PINNED = ("sequence_number", "type", "config")
"""What a row has of its action."""


@dataclass(frozen=True)
class Place:
    """Where leads of the stage are, and where they go on. `target` is None for leads whose run is then completed."""

    sequence: int
    type: str
    leads: int
    target: Mapping[str, Any] | None
    stays: bool
    """The action that they are at is unchanged, and goes on as it is."""


@dataclass(frozen=True)
class Migration:
    """`moved`: how many leads have the new actions now; `busy`: how many could not be claimed, or have moved on."""

    moved: int
    busy: int


def target_of(
    row: Mapping[str, Any] | None, sequence: int, actions: Sequence[Document]
) -> tuple[Document | None, bool]:
    """Where a lead goes on that is at the action `row` with this number, and whether it stays as it is there. Pure."""
    target = next((one for one in actions if one["sequence_number"] >= sequence), None)
    return target, bool(row and target and _is_same(row, target))


def _is_same(row: Mapping[str, Any], action: Mapping[str, Any]) -> bool:
    return all((row.get(name) or {}) == (action.get(name) or {}) for name in PINNED)


async def preview(app: App[LeadRepos], stage_id: ObjectId) -> list[Place]:
    """Where the active leads of the stage are, and where each would go on. Changes nothing.

    Leads at the same number count as one place, though their stage may have been edited several times.
    Raises: Permanent `not_found`.
    """
    account_id, actions = await _stage(app, stage_id)
    places = await app.repos.lead_records.places(account_id, stage_id)
    rows = await app.repos.lead_stage_actions.of_many(account_id, [one["first"] for one in places])
    found = []
    for one in places:
        sequence = one["_id"].get("sequence") or 0
        row = next((row for row in rows[one["first"]] if row["sequence_number"] == sequence), None)
        target, stays = target_of(row, sequence, actions)
        found.append(Place(sequence, str(one["_id"].get("type")), one["leads"], target, stays))
    return found


async def migrate(app: App[LeadRepos], stage_id: ObjectId) -> Migration:
    """Give every active lead of the stage its actions as they are now. What a lead has done stays done.

    A lead whose action is being performed at the moment is left as it is; another call takes it along.
    Raises: Permanent `not_found`.
    """
    account_id, actions = await _stage(app, stage_id)
    account, migration_id = await app.shared.accounts.get(account_id), ObjectId()
    here: Document = {"account_id": either(account_id), "stage_id": either(stage_id), "status": "active"}
    todo = {**here, "migration_id": {"$ne": migration_id}}
    moved, last = 0, ObjectId("0" * 24)
    while held := await app.repos.lead_stages.claim_many(account_id, {**todo, "_id": {"$gt": last}}, BATCH, BY_ID):
        last = held[-1]["_id"]
        moved += await _Batch(app, account_id, held, {"migration_id": migration_id}).move(actions, account)
    return Migration(moved, await app.repos.lead_records.count("lead_stages", account_id, todo))


@dataclass(frozen=True)
class _Batch:
    """Entries that one claim holds; `mark` is written into each that was moved."""

    app: App[LeadRepos]
    account_id: ObjectId
    held: Sequence[Document]
    mark: Document

    async def move(self, actions: Sequence[Document], account: Document) -> int:
        """Replace what is ahead of each entry by these actions, and release it. Returns how many were moved."""
        now, repos = self.app.clock.now(), self.app.repos
        rows = await repos.lead_stage_actions.of_many(self.account_id, [one["_id"] for one in self.held])
        leads = await repos.leads.brief(self.account_id, [one["lead_id"] for one in self.held])
        groups: dict[tuple[int, Position | RunEnd | None], list[Document]] = defaultdict(list)
        for entry in self.held:
            row = next((row for row in rows[entry["_id"]] if row["sequence_number"] == _sequence(entry)), None)
            target, stays = target_of(row, _sequence(entry), actions)
            lead = leads.get(str(entry["lead_id"]), {})
            goes_on = None if stays else opened(target, now, lead, account) if target else RunEnd("completed")
            groups[_sequence(entry), goes_on].append(entry)
        return sum([await self._go_on(*place, some, actions) for place, some in groups.items()])

    async def _go_on(
        self, sequence: int, goes_on: Position | RunEnd | None, entries: Sequence[Document], actions: Sequence[Document]
    ) -> int:
        """`goes_on` is None for entries that stay at their action."""
        repos, ids, claim_id = self.app.repos, [one["_id"] for one in entries], entries[0]["claim_id"]
        first = sequence + (goes_on is None)
        ahead = [one for one in actions if one["sequence_number"] >= first]
        now = self.app.clock.now()
        rows = [row for entry in entries for row in rows_of(entry, ahead, now)]
        await repos.lead_stage_actions.replace_ahead(self.account_id, ids, first, rows)
        where = goes_on.document(now) if isinstance(goes_on, RunEnd) else {}
        where = opened_fields(goes_on, now) if isinstance(goes_on, Position) else where
        moved = await repos.lead_stages.change_many(self.account_id, claim_id, ids, {**where, **self.mark})
        if isinstance(goes_on, Position):
            await repos.lead_stage_actions.change(self.account_id, ids, goes_on.sequence, goes_on.row())
        await repos.lead_stages.release_many(self.account_id, claim_id, ids)
        return moved


def _sequence(entry: Document) -> int:
    return int(entry.get("current_sequence") or 0)


async def _stage(app: App[LeadRepos], stage_id: ObjectId) -> tuple[ObjectId, list[Document]]:
    """The stage's account, and its active actions in their order, as `numbered`."""
    stage = await app.repos.lead_records.one("pipeline_stages", stage_id)
    if stage is None:
        raise Permanent(f"there is no stage {stage_id}", "not_found")
    account_id = object_id(stage.get("account_id")) or stage["account_id"]
    found = await app.repos.lead_stage_actions.of_stages(account_id, [stage_id])
    return account_id, numbered(found[str(stage_id)])
