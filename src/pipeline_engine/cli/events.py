"""`events`: CRM events from the command line."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import typer

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.arguments import Account, Newest, filled, read_account, read_duration, read_id
from pipeline_engine.cli.daemons import request
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.consumers import replay as replays
from pipeline_engine.domain.consumers.order import key_of
from pipeline_engine.domain.consumers.replay import EventRange, Replayed, Target
from pipeline_engine.domain.consumers.table import CONSUMERS
from pipeline_engine.domain.events.publisher import EventPublisher
from pipeline_engine.errors import ConfigError
from pipeline_engine.ids import object_id
from pipeline_engine.json_object import json_object
from pipeline_engine.logs import clean
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.consumer_repos import ConsumerRepos

SWEEP = "events.outbox"
COLUMNS = ("id", "type", "status", "account", "occurred (UTC)", "attempts", "error")
MAX_DATA_CHARS = 2000
MAX_ERRORS_SHOWN = 20

KINDS: dict[str, replays.Kind] = {"consumer": "consumer", "workflow": "workflows", "webhook": "webhooks"}
"""What `--to` begins with."""

Status = Literal["new", "done", "dead"]
EventId = Annotated[str, typer.Argument(metavar="EVENT", help="The `_id` of the event.")]
OfType = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="Only events of this type.", callback=filled)
]

T = TypeVar("T")

program = typer.Typer(help="CRM events: look at them, publish, replay.", invoke_without_command=True)


@program.callback()
def default(context: typer.Context) -> None:
    """CRM events: list (also without a word), show, publish, replay."""
    if context.invoked_subcommand is None:
        list_events()


@program.command("list")
def list_events(
    account: Account = None,
    type: OfType = None,
    status: Annotated[Status | None, typer.Option(help="Only events with this status.")] = None,
    limit: Newest = 20,
) -> None:
    """The latest events by the time at which they occurred."""
    account_id = read_account(account)
    accounts = {"account_id": {"$in": [account_id, str(account_id)]}} if account_id else {}
    query = {**accounts, **({"type": type} if type else {}), **({"status": status} if status else {})}
    found = _ask(lambda app: app.repos.past_events.latest(query, limit))
    Screen().table(COLUMNS, map(_row, found), unbroken=("id",))


@program.command("show")
def show(id: EventId) -> None:
    """One event: state, data, cause, and how attempts failed."""
    event = _ask(lambda app: app.repos.crm_events.get(id))
    if event is None:
        session.leave(f"there is no event {id}", session.FAILED)
    screen = Screen()
    screen.facts(_facts(event))
    for error in event.get("errors", []):
        if isinstance(error, dict):
            screen.line(f"  attempt {error.get('attempt')}: {clean(str(error.get('error')))}")


@program.command("publish")
def publish(
    type: Annotated[str, typer.Argument(metavar="TYPE", help="For example contact.created.")],
    account: Annotated[str, typer.Option(metavar="ID", help="The account of the event.")],
    data: Annotated[str, typer.Option(metavar="JSON", help="A JSON object, such as the ids of records.")] = "{}",
    key: Annotated[str | None, typer.Option(help="Events of one key are consumed in order.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="A repeat under this id publishes nothing.")] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="The user who did it.")] = None,
) -> None:
    """Publish an event. It is consumed by the next daemon or `run-once events.outbox`."""
    account_id, content = read_id(account, "--account"), _object(data)
    options: dict[str, Any] = {"user_id": object_id(user) or user, "key": key, "id": id}
    request(
        lambda app: EventPublisher(app).publish(type, content, account_id, **options),
        SWEEP,
        lambda event_id: f"event {event_id} is published",
    )


@program.command("replay")
def replay(
    to: Annotated[str | None, typer.Option(metavar="TARGET", help="consumer:NAME, workflow:ID or webhook:ID.")] = None,
    account: Account = None,
    type: OfType = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="From 2026-01-31T08:00, or 24h ago.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before that time.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
) -> None:
    """Send past events again, to one taker or to all consumers.

    Without --to, all consumers of their types take them. Others do not see them, and what was done is not done
    twice. Exit code 1: some failed."""
    targets = [_target(to)] if to is not None else _consumers_of(type)
    times = {"since": _moment(since, "--since"), "until": _moment(until, "--until")}
    selection = EventRange(read_account(account), type, **times)
    if dry_run:
        for target, many in _ask(lambda app: _each(targets, partial(replays.count, app), selection)):
            Screen().line(f"{many} events would go to {_named(target)}")
        return
    results = _ask(lambda app: _each(targets, partial(replays.replay, app), selection))
    for target, result in results:
        _show_result(target, result)
    if failed := sum(len(result.errors) for _, result in results):
        session.leave(f"{failed} of them failed there", session.FAILED)


async def _each(
    targets: Sequence[Target], act: Callable[[Target, EventRange], Awaitable[T]], selection: EventRange
) -> list[tuple[Target, T]]:
    return [(target, await act(target, selection)) for target in targets]


def _show_result(target: Target, result: Replayed) -> None:
    screen = Screen()
    screen.line(f"{result.events} events {'went' if target.kind == 'consumer' else 'go'} to {_named(target)}")
    for id, error in list(result.errors.items())[:MAX_ERRORS_SHOWN]:
        screen.line(f"  {id}: {clean(error)}")


def _ask(question: Callable[[App[ConsumerRepos]], Awaitable[T]]) -> T:
    return session.with_app(lambda app: question(app.with_repos(ConsumerRepos.open)))


def _row(event: Document) -> tuple[object, ...]:
    error = event.get("error") or next((one.get("error") for one in reversed(_errors(event))), "")
    own = (event["_id"], event.get("type"), event.get("status"), event.get("account_id"), event.get("occurred_at"))
    return (*own, event.get("attempts", 0), clean(str(error or "")))


def _errors(event: Document) -> list[dict[str, Any]]:
    return [one for one in event.get("errors", []) if isinstance(one, dict)]


def _facts(event: Document) -> list[tuple[str, object]]:
    cause = event.get("cause")
    data = json.dumps(event.get("data"), default=str, ensure_ascii=False)[:MAX_DATA_CHARS]
    return [
        ("id", event["_id"]),
        ("type", event.get("type")),
        ("status", event.get("status")),
        ("account", event.get("account_id")),
        ("user", event.get("user_id")),
        ("key", key_of(event)),
        ("occurred", event.get("occurred_at")),
        ("consumed by", ", ".join(map(str, event.get("consumed", [])))),
        ("not yet taken by", ", ".join(map(str, event.get("onward", [])))),
        ("attempts", event.get("attempts", 0)),
        ("next attempt", event.get("next_at")),
        ("error", clean(str(event.get("error") or ""))),
        ("because of", f"{cause.get('event_id')}, depth {cause.get('depth')}" if isinstance(cause, Mapping) else None),
        ("data", data),
    ]


def _object(text: str) -> dict[str, Any]:
    try:
        return json_object(text)
    except ValueError as error:
        raise ConfigError(f"--data: {error}") from None


def _target(text: str) -> Target:
    word, _, name = text.partition(":")
    kind = KINDS.get(word)
    if kind is None or not name:
        raise ConfigError(f"--to: {text} is none of consumer:NAME, workflow:ID and webhook:ID")
    return Target(kind, name)


def _consumers_of(type: str | None) -> list[Target]:
    """All consumers of the type, which may be any."""
    return [Target("consumer", one.name) for one in CONSUMERS if type is None or type in one.types]


def _named(target: Target) -> str:
    return f"{target.kind.removesuffix('s')} {target.name}"


def _moment(text: str | None, name: str) -> datetime | None:
    """A time in UTC, or so long ago as a duration says."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC) - read_duration(text, name)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
