"""What an action of a stage is to do, read from its `type` and `config`, and checked. Pure.

An option that an action type does not have is refused: it is a typing error, and would be without effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from bson import ObjectId

from pipeline_engine.domain.leads.options import Options, word
from pipeline_engine.domain.leads.waits import ALL_WEEK, Wait, WaitBusinessDays, WaitSeconds, WaitUntil, ZoneOf
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id

Outcome = Literal["won", "lost"]
ResponseChannel = Literal["email", "sms", "any"]

MAX_BUSINESS_DAYS = 2600
MAX_TAGS = 100


@dataclass(frozen=True)
class Branch:
    """What happens after a reply or a time-out."""

    what: Literal["continue", "move", "stop"]
    stage_id: ObjectId | None = None
    """The stage to move to."""


CONTINUE, STOP = Branch("continue"), Branch("stop")


@dataclass(frozen=True)
class EmailConfig:
    template_id: ObjectId


@dataclass(frozen=True)
class SmsConfig:
    """Either one of the account's templates, or a text of its own."""

    template_id: ObjectId | None
    message: str | None


@dataclass(frozen=True)
class NoteConfig:
    text: str


@dataclass(frozen=True)
class TagsConfig:
    """Tags to add or to remove, as ids or as texts."""

    tags: tuple[Any, ...]


@dataclass(frozen=True)
class OwnerConfig:
    owner_id: ObjectId


@dataclass(frozen=True)
class MoveConfig:
    """Either a stage to move to, or the outcome that ends the lead's run."""

    stage_id: ObjectId | None
    outcome: Outcome | None


@dataclass(frozen=True)
class ResponseConfig:
    channel: ResponseChannel
    timeout: timedelta
    on_response: Branch
    on_timeout: Branch


@dataclass(frozen=True)
class TaskConfig:
    """A task for the lead's owner. `due_in`: from its creation to the time that it shows as due."""

    title: str
    due_in: timedelta
    timeout: timedelta
    on_timeout: Branch


ActionConfig = (
    EmailConfig | SmsConfig | NoteConfig | TagsConfig | OwnerConfig | MoveConfig | ResponseConfig | TaskConfig | Wait
)


def read_config(action: Mapping[str, Any]) -> ActionConfig:
    """What the action is to do; `action` is a document of `pipeline_stage_actions` or `lead_stage_actions`.

    Raises: Permanent `bad_action` that names the action, the option, what is given and what is allowed.
    """
    type = action.get("type")
    name = f"action {action.get('sequence_number', '?')} ({type})"
    read = READERS.get(type) if isinstance(type, str) else None
    if read is None:
        raise Permanent(f"{name}: no such type of action; allowed: {', '.join(READERS)}", "bad_action")
    return read(Options.of(name, action.get("config") or {}))


def fault_of(action: Mapping[str, Any]) -> str | None:
    """What is wrong with the action; None when nothing is."""
    try:
        read_config(action)
    except Permanent as error:
        return str(error)
    return None


def references_of(config: ActionConfig) -> dict[str, list[ObjectId]]:
    """{collection: ids} of the documents that the action points at, which must not belong to another account."""
    match config:
        case EmailConfig(template_id):
            return {"email_templates": [template_id]}
        case SmsConfig(ObjectId() as template_id):
            return {"sms_templates": [template_id]}
        case TagsConfig(tags):
            return {"tags": [id for id in map(object_id, tags) if id]}
        case OwnerConfig(owner_id):
            return {"users": [owner_id]}
        case MoveConfig(ObjectId() as stage_id):
            return {"pipeline_stages": [stage_id]}
        case ResponseConfig(on_response=first, on_timeout=second):
            return {"pipeline_stages": [branch.stage_id for branch in (first, second) if branch.stage_id]}
        case TaskConfig(on_timeout=Branch(stage_id=ObjectId() as stage_id)):
            return {"pipeline_stages": [stage_id]}
    return {}


def _email(options: Options) -> EmailConfig:
    options.allow("email_template_id")
    return EmailConfig(options.id("email_template_id"))


def _sms(options: Options) -> SmsConfig:
    options.allow("sms_template_id", "message")
    if options.one_of(("sms_template_id", "message")) == "message":
        return SmsConfig(None, options.text("message"))
    return SmsConfig(options.id("sms_template_id"), None)


def _note(options: Options) -> NoteConfig:
    options.allow("note")
    return NoteConfig(options.text("note"))


def _tags(options: Options) -> TagsConfig:
    options.allow("tag", "tags")
    name = options.one_of(("tag", "tags"))
    value = options.values[name]
    tags = value if name == "tags" else [value]
    if not isinstance(tags, list) or not 0 < len(tags) <= MAX_TAGS or not all(map(_is_tag, tags)):
        options.refuse(name, "an id or a text" if name == "tag" else f"a list of 1 to {MAX_TAGS} ids or texts")
    return TagsConfig(tuple(tags))


def _is_tag(value: object) -> bool:
    return isinstance(value, ObjectId) or (isinstance(value, str) and bool(value.strip()))


def _owner(options: Options) -> OwnerConfig:
    options.allow("owner_id")
    return OwnerConfig(options.id("owner_id"))


def _move(options: Options) -> MoveConfig:
    options.allow("stage_id", "outcome")
    if options.one_of(("stage_id", "outcome")) == "stage_id":
        return MoveConfig(options.id("stage_id"), None)
    return MoveConfig(None, options.choice("outcome", get_args(Outcome)))


def _wait(options: Options) -> Wait:
    options.allow("seconds", "until", "weekdays", "business_days", "zone")
    kind = options.one_of(("seconds", "until", "business_days"))
    if kind == "seconds":
        options.allow("seconds")
        return WaitSeconds(options.duration("seconds", least=1))
    zone: ZoneOf = options.choice("zone", get_args(ZoneOf), "account")
    if kind == "until":
        return WaitUntil(options.time_of_day("until"), options.weekdays("weekdays", ALL_WEEK), zone)
    options.allow("business_days", "zone")
    return WaitBusinessDays(options.count("business_days", MAX_BUSINESS_DAYS), zone)


def _wait_for_response(options: Options) -> ResponseConfig:
    options.allow("channel", "timeout_seconds", "on_response", "on_timeout")
    return ResponseConfig(
        options.choice("channel", get_args(ResponseChannel), "any"),
        options.duration("timeout_seconds", least=1),
        _branch(options, "on_response"),
        _branch(options, "on_timeout"),
    )


def _task(options: Options) -> TaskConfig:
    options.allow("title", "due_in_seconds", "timeout_seconds", "on_timeout")
    due_in = options.duration("due_in_seconds") if "due_in_seconds" in options.values else timedelta(0)
    timeout = options.duration("timeout_seconds", least=1)
    return TaskConfig(options.text("title"), due_in, timeout, _branch(options, "on_timeout"))


def _branch(options: Options, name: str) -> Branch:
    """`continue` (also when it is not given), `stop`, or `{move: <stage id>}`."""
    value = word(options.values.get(name, "continue"))
    if isinstance(value, Mapping) and set(value) == {"move"} and (stage_id := object_id(value["move"])):
        return Branch("move", stage_id)
    found = {"continue": CONTINUE, "stop": STOP}.get(value) if isinstance(value, str) else None
    return found or options.refuse(name, "continue, stop, or {move: <id of a stage>}")


READERS: dict[str, Callable[[Options], ActionConfig]] = {
    "email": _email,
    "sms": _sms,
    "note": _note,
    "add_tag": _tags,
    "remove_tag": _tags,
    "owner": _owner,
    "move": _move,
    "wait": _wait,
    "wait_for_response": _wait_for_response,
    "task": _task,
}
"""By type: what reads its options."""
