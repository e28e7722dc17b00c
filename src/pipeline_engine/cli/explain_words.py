"""How `explain` puts its answer to people: one sentence of verdict, and what was found without double negatives. Pure.

Programs get the conditions by their names (`--json`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline_engine.domain.explanation import Condition, Next, What

VERBS: dict[What, str] = {
    "fires": "will fire",
    "runs": "will run",
    "retries": "will be tried again",
    "ends": "will end",
    "fails": "will fail",
    "waits": "waits",
    "never": "will not go on",
}
JOINED_BY_BLANK = ("for ", "to be ", "as ", "after ", "at ", "when ", "in the run ")
"""What the reason of a verdict may begin with, so that it goes on with the sentence."""

LOOKED_AT = {
    "status is ACTIVE": "status",
    "module is DEAL": "module",
    "type is known": "type",
    "account is active": "account",
    "createdAt + delay has passed": "createdAt + delay",
    "is not paused": "paused",
    "no limit holds it back": "resting for a limit",
    "no run holds it": "held by",
    "account is the automation's": "account of the deal",
    "stage is the automation's": "stage of the deal",
    "automation_starts is a time": "automation_starts",
    "delay is over": "end of the delay",
    "not in automation_triggered": "in automation_triggered",
    "not in automation_failed": "in automation_failed",
    "not in skip_automations": "in skip_automations",
    "flagged in retry_automations": "in retry_automations",
    "the stage's others come first": "others of the stage that come first",
    "entered after what counts as settled": "settled up to",
    "no attempt waits": "next attempt",
    "is pending or processing": "status",
    "no cancel requested": "cancel requested",
    "no chunk was given up": "chunks given up",
    "no run has it": "held by",
    "has not ended": "status",
    "no cancellation is requested": "cancellation requested",
    "no step is open": "steps",
    "its next run is due": "next run",
    "no process holds it": "held by",
    "the lead is open": "status of the lead",
    "has entered a stage": "entry into a stage",
    "the run has not ended": "status of its run",
    "stage is not paused": "pause of the stage",
    "pipeline is not paused": "pause of the pipeline",
    "account is not paused": "pause of the account",
    "a place is free for it": "places for leads of the account",
    "its action is known": "its action",
    "its action can be read": "its action",
    "it is due": "due at",
    "the workflow exists": "workflow",
    "the workflow is not paused": "pause of the workflow",
    "the sequence exists": "sequence",
    "the sequence is active": "rest of the sequence",
    "its steps can be read": "its steps",
    "no attempt failed": "failed attempts",
    "the event is new": "status",
    "CRM events are switched on": "QM_EVENTS",
    "names an account": "account",
    "is not set aside": "set aside",
    "can be read": "readable",
    "no earlier event of its key waits": "earlier events of its key that wait",
    "no run has its account": "events of its account held by",
}
"""By the name of a condition, what it looks at."""


def verdict(subject: str, then: Next, never: str = VERBS["never"]) -> str:
    """One sentence: what happens next to `subject`, when, and why. `never` is the verb for what does not happen."""
    verb = never if then.what == "never" else VERBS[then.what]
    at = f" at {then.at:%Y-%m-%d %H:%M:%S} UTC" if then.at else ""
    joint = (
        " "
        if then.why.startswith(JOINED_BY_BLANK) and not at
        else ", "
        if then.why.startswith(JOINED_BY_BLANK)
        else ": "
    )
    return f"{subject} {verb}{at}{joint}{then.why}."


def findings(conditions: Sequence[Condition]) -> Iterator[tuple[str, object, str]]:
    """(what was looked at, what was found, what follows from it)."""
    for one in conditions:
        yield _looked_at(one.name), one.value, _effect(one)


def _looked_at(name: str) -> str:
    if name.startswith("fewer than "):
        return name.split(" ", 3)[3]
    return LOOKED_AT.get(name, name)


def _effect(condition: Condition) -> str:
    if condition.passed is None:
        return "does not matter here"
    if condition.passed or condition.otherwise is None:
        return "fine"
    return {"never": "rules it out", "waits": "holds it up", "fails": "makes it fail", "ends": "ends it"}.get(
        condition.otherwise.what, "decides when"
    )
