"""Lifecycle: contacts move from lead to MQL, SQL, opportunity and customer as the facts allow.

Stages are worked off in their order, so a contact takes several steps in one run, each with its row and its event. A
contact with `manual_override` stays where a person put it, and none goes back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.events.relay import crm_event, publish_all_due
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.follow import stamps, write
from pipeline_engine.domain.jobs.lifecycle_rules import LifecycleRules, grade_of, of_grades, read_rules
from pipeline_engine.domain.jobs.schedule import EveryMinutes
from pipeline_engine.domain.scoring import number_or
from pipeline_engine.ids import derived_id, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.contact_changes import ContactChange
from pipeline_engine.repos.contacts import CONTACTS
from pipeline_engine.repos.sales_records import WON

NAME = "crm.lifecycle"
NOTE = "lifecycle_due"
PAGE = 500
FIELDS = ("lead_grade", "lead_score", "intent_score")

Found = dict[ObjectId, str]
"""{contact: the reason for its step}"""


@dataclass(frozen=True)
class Step:
    """`candidates` is a filter for contacts in the stage before; None: no rule is left, and no contact takes the step.
    `allowed` are those of them of whom the other facts hold."""

    before: tuple[str | None, ...]
    to: str
    candidates: Callable[[LifecycleRules], Document | None]
    allowed: Callable[[JobWork, LifecycleRules, Sequence[Document]], Awaitable[Found]]

    @property
    def name(self) -> str:
        """The stage before, as history and events name it."""
        return str(self.before[0])


async def _mql(work: JobWork, rules: LifecycleRules, contacts: Sequence[Document]) -> Found:
    ids = _ids(contacts)
    facts = work.app.repos.contact_facts
    allowed = await facts.with_form(work.account_id, ids) if rules.mql_form else set(ids)
    form = ", a form was submitted" if rules.mql_form else ""
    return {
        id: f"grade {grade_of(one)}, intent {number_or(one['intent_score'], 0):g}{form}"
        for id, one in zip(ids, contacts, strict=True)
        if id in allowed
    }


async def _sql(work: JobWork, rules: LifecycleRules, contacts: Sequence[Document]) -> Found:
    ids, types = _ids(contacts), rules.sql_activities
    facts = work.app.repos.contact_facts
    allowed = await facts.with_activity(work.account_id, ids, types) if types else set(ids)
    activity = f", {' or '.join(types)}" if types else ""
    return {id: f"grade {grade_of(one)}{activity}" for id, one in zip(ids, contacts, strict=True) if id in allowed}


async def _opportunity(work: JobWork, _rules: LifecycleRules, contacts: Sequence[Document]) -> Found:
    found = await work.app.repos.contact_facts.with_deal(work.account_id, _ids(contacts), {})
    return dict.fromkeys(found, "a deal with the contact")


async def _customer(work: JobWork, rules: LifecycleRules, contacts: Sequence[Document]) -> Found:
    dated: Document = {"closed_at": {"$type": "date"}} if rules.customer_close_date else {}
    won: Document = {"status": {"$in": WON}} if rules.customer_won else {}
    found = await work.app.repos.contact_facts.with_deal(work.account_id, _ids(contacts), {**won, **dated})
    return dict.fromkeys(found, "a deal was won" if rules.customer_won else "a deal has a close date")


STEPS = (
    Step(
        ("lead", None, ""),
        "mql",
        lambda rules: {**of_grades(rules.mql_grades), "intent_score": {"$gt": rules.mql_intent}},
        _mql,
    ),
    Step(("mql",), "sql", lambda rules: of_grades(rules.sql_grades), _sql),
    Step(("sql",), "opportunity", lambda rules: {} if rules.opportunity_deal else None, _opportunity),
    Step(
        ("opportunity",),
        "customer",
        lambda rules: {} if rules.customer_won or rules.customer_close_date else None,
        _customer,
    ),
)


async def run(work: JobWork) -> JobResult:
    """Let every contact take the steps that the account's rules allow."""
    rules = read_rules(work.profile)
    number, after = work.cursor.get("step", 0), work.cursor.get("after", "")
    done = await _follow_up(work)  # what a crash left
    failed = 0
    while number < len(STEPS):
        step, query = STEPS[number], STEPS[number].candidates(rules)
        page = await _page(work, step, query, after) if query is not None else []
        if not page:
            number, after = number + 1, ""
            continue
        work.check()
        failed += await _take(work, rules, step, page)
        done, after = done + await _follow_up(work), page[-1]["_id"]
        if work.is_over:
            return JobResult(done, failed, more=True, cursor={"step": number, "after": after})
    return JobResult(done, failed)


async def _page(work: JobWork, step: Step, query: Document, after: Any) -> list[Document]:
    stays = {"lifecycle_stage": {"$in": list(step.before)}, "manual_override": {"$ne": True}}
    return await work.app.repos.lifecycle.page(work.account_id, {**stays, **query}, after, PAGE, *FIELDS)


async def _take(work: JobWork, rules: LifecycleRules, step: Step, contacts: Sequence[Document]) -> int:
    """Let those of the contacts take the step who may. Returns how many could not be changed."""
    named = [one for one in contacts if object_id(one["_id"])]
    found = await step.allowed(work, rules, named)
    changes = [_change(work, step, one["_id"], found[id]) for one in named if (id := ObjectId(one["_id"])) in found]
    return await work.app.repos.lifecycle.change(work.account_id, changes)


def _change(work: JobWork, step: Step, contact: Any, reason: str) -> ContactChange:
    data = {"contact_id": str(contact), "from": step.name, "to": step.to, "reason": reason}
    event_id = f"{NAME}:{contact}:{step.name}-{step.to}:{work.slot}"
    follows = {"from": step.name, "to": step.to, "reason": reason, "at": work.now, "slot": work.slot}
    return ContactChange(
        contact,
        guard={"lifecycle_stage": {"$in": list(step.before)}, "manual_override": {"$ne": True}},
        set={"lifecycle_stage": step.to, "lifecycle_changed_at": work.now},
        follows=follows,
        event=crm_event(event_id, "lifecycle.changed", None, data),
    )


async def _follow_up(work: JobWork) -> int:
    """Write the history of the steps that were taken and publish them. Returns how many there were."""
    count = 0
    async for contacts in work.app.repos.lifecycle.noted(work.account_id, PAGE):
        rows = [_row(work, one["_id"], one[NOTE]) for one in contacts if one[NOTE].get("to")]
        await write(work, work.app.repos.lifecycle_history, rows)
        await publish_all_due(work.app, CONTACTS, contacts)
        await work.app.repos.lifecycle.settled(work.account_id, contacts)
        count += len(contacts)
    return count


def _row(work: JobWork, contact: Any, note: Document) -> Document:
    what = {name: note.get(name) for name in ("from", "to", "reason", "at")}
    id = derived_id("lifecycle", work.account_id, contact, what["from"], what["to"], note.get("slot"))
    return {
        "_id": id,
        "account_id": work.account_id,
        "contact_id": object_id(contact) or contact,
        **what,
        **stamps(note["at"]),
    }


def _ids(contacts: Sequence[Document]) -> list[ObjectId]:
    return [ObjectId(one["_id"]) for one in contacts]


JOB = CrmJob(NAME, EveryMinutes(120), run)
