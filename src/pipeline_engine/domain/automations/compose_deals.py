"""Composes the messages to the contacts of many deals, of which any may be as large as MongoDB allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Composed, Deal
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.messages.compose import Texts
from pipeline_engine.domain.messages.merge_fields import MergeRecords, deal_fields
from pipeline_engine.domain.messages.message import Message, senders
from pipeline_engine.providers.renderer import NotRendered
from pipeline_engine.repos.automation_repos import AutomationRepos

AnyMessage = TypeVar("AnyMessage", bound=Message)
Compose = Callable[[App, ObjectId, Texts, Sequence[MergeRecords], str], Awaitable[list[AnyMessage | NotRendered]]]


async def compose_deals(
    app: App[AutomationRepos],
    automation: Automation,
    template: Texts,
    deals: Sequence[Deal],
    compose: Compose[AnyMessage],
) -> list[Composed]:
    """Returns for each deal, in their order, what sends the message that `compose` makes of it, or why there is none;
    None for a deal that has gone.

    Only the fields that the template names are read, and no more than 16 MB of them at a time.
    """
    account_id = automation.account_id
    fields = deal_fields(await app.renderer.names(template, account_id))
    composed: dict[ObjectId, Composed] = {}
    async for portion in app.repos.automation_deals.portions(account_id, [deal["_id"] for deal in deals], fields):
        records: list[MergeRecords] = [{"deal": deal} for deal in portion]
        messages = await compose(app, account_id, template, records, f"automation:{automation.id}")
        composed |= zip([deal["_id"] for deal in portion], senders(app, messages), strict=True)
    return [composed.get(deal["_id"]) for deal in deals]
