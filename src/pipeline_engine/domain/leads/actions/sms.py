"""Sends an SMS to the lead: a text of its own, or one of the account's templates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pipeline_engine.domain.leads.config import SmsConfig
from pipeline_engine.domain.leads.pinned import pinned
from pipeline_engine.domain.leads.send_to_leads import send_to_leads
from pipeline_engine.domain.leads.work import Entry, Results, Slice
from pipeline_engine.domain.messages.compose import compose_texts, sms_template


async def act(slice: Slice, entries: Sequence[Entry]) -> AsyncIterator[Results]:
    config = await pinned(slice, entries, SmsConfig)
    if config.template_id:
        template = await sms_template(slice.app, slice.account_id, config.template_id)
    else:
        template = {"body": config.message or ""}
    async for results in send_to_leads(slice, entries, "sms", template, compose_texts):
        yield results
