"""Sends a text message to the contact, by a template or with a text of its own."""

from __future__ import annotations

from typing import Self

from pydantic import AliasChoices, Field, model_validator

from pipeline_engine.domain.messages.compose import compose_texts, sms_template
from pipeline_engine.domain.messages.message import TextMessage
from pipeline_engine.domain.workflows.merge_records import merge_records
from pipeline_engine.domain.workflows.send import send
from pipeline_engine.domain.workflows.step import NonBlank, RecordId, StepConfig, StepResult, StepRun
from pipeline_engine.providers.renderer import NotRendered


class SmsSending(StepConfig):
    sms_template_id: RecordId | None = Field(None, validation_alias=AliasChoices("sms_template_id", "template_id"))
    message: NonBlank | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.sms_template_id is None) == (self.message is None):
            raise ValueError("exactly one of sms_template_id and message is wanted")
        return self


async def perform(run: StepRun, config: SmsSending) -> StepResult:
    return await send(run, "sms", await _compose(run, config))


async def _compose(run: StepRun, config: SmsSending) -> TextMessage | NotRendered:
    if config.sms_template_id is not None:
        template = await sms_template(run.app, run.account_id, config.sms_template_id)
    else:
        template = {"body": str(config.message)}
    (composed,) = await compose_texts(run.app, run.account_id, template, [await merge_records(run)], run.source)
    return composed


async def rehearse(run: StepRun, config: SmsSending) -> str:
    text = await _compose(run, config)
    return f"would send to {text.to}: {text.body}" if isinstance(text, TextMessage) else f"would send no text: {text}"
