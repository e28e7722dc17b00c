"""Gives up the messages that wait, for a person who wants none."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import RUN_FIELDS
from pipeline_engine.domain.automations.automation import Automation, read_or_fault
from pipeline_engine.domain.automations.unit_outcomes import Failure, give_up
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.ids import either
from pipeline_engine.repos.automation_repos import AutomationRepos

CONTACT_FIELD = {"email": "contact_email", "sms": "contact_phone"}
REASON = "the contact wants no more messages"


async def cancel(app: App[AutomationRepos], wish: OptOut) -> int:
    """Give up the units of the account that wait for another attempt or for the send window, and would send over the
    channel to the address. Returns how many. What becomes due later finds the suppression."""
    waiting: dict[Any, dict[Any, int]] = defaultdict(dict)
    for unit in await app.repos.automation_units.pending_of_account(wish.account_id):
        waiting[unit["automation_id"]][unit["deal_id"]] = unit["attempts"]
    return sum([await _give_up(app, wish, id, attempts) for id, attempts in waiting.items()])


async def _give_up(app: App[AutomationRepos], wish: OptOut, id: ObjectId, attempts: dict[Any, int]) -> int:
    document = await app.repos.automations.get(id)
    automation = read_or_fault(document) if document else None
    if not isinstance(automation, Automation) or automation.type != wish.channel:
        return 0
    theirs = {CONTACT_FIELD[wish.channel]: {"$in": list(wish.spellings)}, "_id": {"$in": list(attempts)}}
    query = {"account_id": either(wish.account_id), **theirs}
    deals = await app.repos.automation_deals.find_matching(query, limit=0, fields=RUN_FIELDS)
    await give_up(app, automation, [Failure(deal, REASON, attempts[deal["_id"]]) for deal in deals])
    return len(deals)
