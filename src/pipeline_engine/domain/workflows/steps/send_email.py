"""Sends an e-mail to the contact, by one of the account's templates."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from pipeline_engine.domain.messages.compose import compose_emails, email_template
from pipeline_engine.domain.workflows.merge_records import merge_records
from pipeline_engine.domain.workflows.send import send
from pipeline_engine.domain.workflows.step import RecordId, StepConfig, StepResult, StepRun
from pipeline_engine.providers.email_message import Mail
from pipeline_engine.providers.renderer import NotRendered


class EmailSending(StepConfig):
    email_template_id: RecordId = Field(validation_alias=AliasChoices("email_template_id", "template_id"))


async def perform(run: StepRun, config: EmailSending) -> StepResult:
    return await send(run, "email", await _compose(run, config))


async def _compose(run: StepRun, config: EmailSending) -> Mail | NotRendered:
    template = await email_template(run.app, run.account_id, config.email_template_id)
    (composed,) = await compose_emails(run.app, run.account_id, template, [await merge_records(run)], run.source)
    return composed


async def rehearse(run: StepRun, config: EmailSending) -> str:
    mail = await _compose(run, config)
    if not isinstance(mail, Mail):
        return f"would send no e-mail: {mail}"
    return f"would send to {mail.to}: {mail.subject}\n{mail.text}"
