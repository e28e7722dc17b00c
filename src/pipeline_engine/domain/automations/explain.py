"""Why an automation fires for a deal, or does not, and what happens next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import moves
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation import Automation, read_automation
from pipeline_engine.domain.automations.conditions import of_automation, of_deal, of_selection
from pipeline_engine.domain.automations.past import Past, past
from pipeline_engine.domain.explanation import Condition, Next, next_of
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.automation_repos import AutomationRepos

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Explanation:
    """`history` is in the order of time."""

    automation: ObjectId
    type: str
    deal: ObjectId
    conditions: Sequence[Condition]
    history: Sequence[Past]
    next: Next


async def explain(app: App[AutomationRepos], automation_id: ObjectId, deal_id: ObjectId) -> Explanation:
    """Raises: Permanent `not_found` naming what does not exist."""
    written = app.repos.automation_history
    document, deal = await app.repos.automations.get(automation_id), await written.deal(deal_id)
    if document is None or deal is None:
        missing = f"automation {automation_id}" if document is None else f"deal {deal_id}"
        raise Permanent(f"there is no {missing}", "not_found")
    automation, now = read_or_fault(document), app.clock.now()
    account_id = document.get("account_id")
    active = await app.repos.automations.account_is_active(object_id(account_id) or account_id)
    conditions = of_automation(document, automation, active, now)
    history: Sequence[Past] = ()
    if isinstance(automation, Automation):
        about = (automation.account_id, automation_id, deal_id)
        units = await written.units(*about)
        history = past(units, await written.effects(*about), await written.logs(*about))
        conditions += of_deal(automation, deal, now)
        conditions += of_selection(document, automation, deal, units, await _siblings(app, automation), now)
    due = Next("fires", now, f"at the next look, within {app.settings.automation_sweep_seconds:g} s")
    kind = str(document.get("type"))
    return Explanation(automation_id, kind, deal_id, conditions, history, next_of(conditions, due))


def read_or_fault(document: Document) -> Automation | str:
    """The automation, or what is wrong with its document."""
    try:
        return read_automation(document)
    except Permanent as error:
        return str(error)


async def _siblings(app: App[AutomationRepos], automation: Automation) -> list[Automation]:
    """The others of the stage, for which an automation that moves the deal away has to wait."""
    if not moves_deals(automation):
        return []
    found = await app.repos.automations.siblings(automation.account_id, automation.stage_id)
    others = [one for document in found if isinstance(one := read_or_fault(document), Automation)]
    return [one for one in others if one.type in ACTIONS and not moves_deals(one)]


def moves_deals(automation: Automation) -> bool:
    return automation.type in ACTIONS and moves(ACTIONS[automation.type])
