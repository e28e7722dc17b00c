"""The types of steps: how each is configured, what performs it, and what says what it would do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pipeline_engine.domain.workflows.step import StepConfig, StepResult, StepRun
from pipeline_engine.domain.workflows.steps import (
    branch,
    create_task,
    end,
    enroll,
    notify,
    send_email,
    send_sms,
    set_field,
    tags,
    wait,
    wait_for_event,
    webhook,
)


@dataclass(frozen=True)
class StepType:
    """`perform` raises Permanent when the step can never be performed, other errors when it cannot be now; a step that
    is performed again after a crash takes effect once. `rehearse` writes and sends nothing."""

    config: type[StepConfig]
    perform: Callable[[StepRun, Any], Awaitable[StepResult]]
    rehearse: Callable[[StepRun, Any], Awaitable[str]]


STEP_TYPES: dict[str, StepType] = {
    "send_email": StepType(send_email.EmailSending, send_email.perform, send_email.rehearse),
    "send_sms": StepType(send_sms.SmsSending, send_sms.perform, send_sms.rehearse),
    "add_tag": StepType(tags.Tagging, tags.add, tags.rehearse_add),
    "remove_tag": StepType(tags.Tagging, tags.remove, tags.rehearse_remove),
    "set_field": StepType(set_field.FieldSetting, set_field.perform, set_field.rehearse),
    "create_task": StepType(create_task.TaskCreation, create_task.perform, create_task.rehearse),
    "notify": StepType(notify.Notification, notify.perform, notify.rehearse),
    "wait": StepType(wait.Waiting, wait.perform, wait.rehearse),
    "wait_for_event": StepType(wait_for_event.WaitingForEvent, wait_for_event.perform, wait_for_event.rehearse),
    "branch": StepType(branch.Branching, branch.perform, branch.rehearse),
    "enroll": StepType(enroll.SequenceEnrollment, enroll.perform, enroll.rehearse),
    "webhook": StepType(webhook.WebhookCall, webhook.perform, webhook.rehearse),
    "end": StepType(end.Ending, end.perform, end.rehearse),
}
ALIASES = dict.fromkeys(("enrol", "enroll_sequence", "enroll_in_sequence", "enrol_in_sequence"), "enroll")
"""Other spellings under which CRMs store a type."""
