"""Works deals off in batches: each opens its log, applies the action, and closes the log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Action, SendMessage
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.apply_action import Applied, apply_action
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.batch_log import close_log, close_log_as_done, open_log
from pipeline_engine.domain.automations.unit_outcomes import Failure, give_up
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.automation_repos import AutomationRepos

Deal = Mapping[str, Any]

PARALLEL_BATCHES = 5
"""Batches wait for MongoDB most of the time."""


@dataclass(frozen=True)
class Worked:
    """How many deals are done and how many failed for good; `rest`: seconds before a limit allows the next one, None
    without a limit."""

    done: int
    failed: int
    rest: float | None

    @classmethod
    def sum(cls, batches: Sequence[Worked]) -> Worked:
        rests = [one.rest for one in batches if one.rest is not None]
        return cls(sum(one.done for one in batches), sum(one.failed for one in batches), max(rests, default=None))


def most_at_once(app: App[AutomationRepos], automation: Automation) -> int:
    """How many deals may be worked off together: one batch where a provider sets the pace, else several."""
    batches = 1 if isinstance(ACTIONS[automation.type], SendMessage) else PARALLEL_BATCHES
    return app.settings.automation_batch * batches


async def work(
    app: App[AutomationRepos], automation: Automation, run_id: str, deals: Sequence[Deal], until: float
) -> Worked:
    """Work off deals that match. No message is sent after `until`, a time of the monotonic clock.

    Raises: the first error of any batch, after all of them have ended.
    """
    size = app.settings.automation_batch
    batches = [deals[at : at + size] for at in range(0, len(deals), size)]
    ended = await asyncio.gather(
        *(_work_batch(app, automation, run_id, batch, until) for batch in batches), return_exceptions=True
    )
    return Worked.sum([_or_raise(one) for one in ended])


def _or_raise(result: Worked | BaseException) -> Worked:
    if isinstance(result, BaseException):
        raise result
    return result


async def _work_batch(
    app: App[AutomationRepos], automation: Automation, run_id: str, deals: Sequence[Deal], until: float
) -> Worked:
    action, applied = ACTIONS[automation.type], Applied()
    log = await open_log(app, automation, run_id, deals)
    try:
        await _refuse_foreign(app, automation, action)
        applied = await apply_action(app, automation, action, deals, until)
    except Permanent as error:
        await give_up(app, automation, [Failure(deal, str(error), 0) for deal in deals])
    succeeded, failed = await (close_log_as_done if applied.to_all else close_log)(app, automation, log)
    return Worked(succeeded, failed, applied.rest)


async def _refuse_foreign(app: App[AutomationRepos], automation: Automation, action: Action) -> None:
    for collection, ids in action.points_at(automation).items():
        await app.shared.references.check(collection, ids, automation.account_id)
