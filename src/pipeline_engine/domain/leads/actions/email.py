"""Sends an e-mail to the lead, from one of the account's templates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pipeline_engine.domain.leads.config import EmailConfig
from pipeline_engine.domain.leads.pinned import pinned
from pipeline_engine.domain.leads.send_to_leads import send_to_leads
from pipeline_engine.domain.leads.work import Entry, Results, Slice
from pipeline_engine.domain.messages.compose import compose_emails, email_template


async def act(slice: Slice, entries: Sequence[Entry]) -> AsyncIterator[Results]:
    config = await pinned(slice, entries, EmailConfig)
    template = await email_template(slice.app, slice.account_id, config.template_id)
    async for results in send_to_leads(slice, entries, "email", template, compose_emails):
        yield results
