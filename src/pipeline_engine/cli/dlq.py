"""`dlq`: the dead letters, which are jobs that failed for good: list, show, retry, discard."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.arguments import Account, Newest, filled, read_account, read_duration, read_id
from pipeline_engine.cli.dlq_bulk import ChosenLetters, retry_many
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain import dead_letters
from pipeline_engine.domain.bulk_retry import Pace
from pipeline_engine.errors import ConfigError, Permanent
from pipeline_engine.repos.job_store import LetterFilter

COLUMNS = ("id", "lane", "function", "attempts", "last failed", "error")

program = typer.Typer(help="Dead letters: list, show, retry, discard.", invoke_without_command=True)

Change = Callable[[App, ObjectId], Awaitable[None]]
Ids = Annotated[list[str], typer.Argument(metavar="ID...")]
Lane = Annotated[str | None, typer.Option(metavar="LANE", help="Only of this lane.", callback=filled)]
Type = Annotated[
    str | None,
    typer.Option(metavar="TYPE", help="Only this kind of job (import.plan) or type of event.", callback=filled),
]
Error = Annotated[str | None, typer.Option(metavar="TEXT", help="Only with this in their error.", callback=filled)]
OlderThan = Annotated[
    str | None,
    typer.Option(metavar="AGE", help="Only if they failed before that, as in 30m, 24h.", callback=filled),
]


def _wanted(
    lane: str | None, type: str | None, account: str | None, error: str | None, age: str | None
) -> ChosenLetters:
    older_than = read_duration(age, "--older-than") if age is not None else None
    return ChosenLetters(LetterFilter(lane, None, error, older_than), read_account(account), type)


@program.callback()
def default(context: typer.Context) -> None:
    """Dead letters: list (also without a word), show, retry, discard."""
    if context.invoked_subcommand is None:
        show_all()


@program.command("list")
def show_all(
    lane: Lane = None,
    type: Type = None,
    account: Account = None,
    error: Error = None,
    older_than: OlderThan = None,
    limit: Newest = 50,
) -> None:
    """The jobs that failed for good, neither retried nor discarded."""
    found = session.with_app(_wanted(lane, type, account, error, older_than).find)
    rows = [
        (one["_id"], one["lane"], one["function"], one["attempts"], one["last_failed_at"], logs.clean(one["error"]))
        for one in found[:limit]
    ]
    screen = Screen()
    screen.table(COLUMNS, rows) if rows else screen.line("no dead letters")
    if len(found) > limit:
        screen.line(f"{limit} of {len(found)}; --limit shows more")


@program.command()
def show(id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Everything about one dead letter."""
    letter_id = read_id(id)
    letter = session.with_app(lambda app: app.shared.job_store.letter(letter_id))
    if letter is None:
        session.leave(f"there is no dead letter {id}", session.FAILED)
    _print(letter)


@program.command()
def retry(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID...]")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter that waits now.")] = False,
    lane: Lane = None,
    type: Type = None,
    account: Account = None,
    error: Error = None,
    older_than: OlderThan = None,
    per_second: Annotated[float, typer.Option(min=0.01, max=10_000, help="How many jobs a second go back.")] = 10.0,
    canary: Annotated[
        bool,
        typer.Option(help="Retry one first, and stop when it, or more than half of the first 50, fail again."),
    ] = True,
    wait: Annotated[float, typer.Option(min=1, help="Seconds that the canary may take.")] = 120.0,
    data: Annotated[
        str | None, typer.Option(metavar="JSON", help="One letter: other arguments, or an event's new data.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Only count them.")] = False,
) -> None:
    """Put jobs back into their lanes. Their attempts start anew."""
    wanted = _wanted(lane, type, account, error, older_than)
    if bool(ids) == (everything or wanted.chooses):
        session.leave("give either ids or --all or filters", session.USAGE)
    if data is not None and len(ids or ()) != 1:
        session.leave("--data goes with one id", session.USAGE)
    if ids:
        edited = None if data is None else _read_json(data)
        _settle(lambda app, letter_id: dead_letters.retry(app, letter_id, edited), "back in its lane", ids)
    elif not retry_many(wanted, Pace(per_second, canary, wait), dry_run):
        raise typer.Exit(session.FAILED)


def _read_json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"--data: not JSON: {error}") from None


@program.command()
def discard(ids: Ids) -> None:
    """Discard jobs for good."""
    _settle(dead_letters.discard, "discarded", ids)


def _settle(change: Change, word: str, ids: Sequence[str]) -> None:
    """Change each letter. A letter that cannot be changed makes the exit code 1 and leaves the others alone."""
    chosen = [read_id(id) for id in ids]

    async def work(app: App) -> bool:
        return all([await _done(change(app, id), f"{id} {word}") for id in chosen])

    if not session.with_app(work):
        raise typer.Exit(session.FAILED)


async def _done(change: Awaitable[None], line: str) -> bool:
    try:
        await change
    except Permanent as error:
        typer.echo(str(error), err=True)
        return False
    Screen().line(line)
    return True


def _print(letter: Mapping[str, Any]) -> None:
    screen = Screen()
    screen.facts(
        [
            ("id", letter["_id"]),
            ("status", letter["status"]),
            ("lane", letter["lane"]),
            ("job", letter["job_id"]),
            ("function", letter["function"]),
            ("args", ", ".join(map(str, letter["args"]))),
            ("attempts", letter["attempts"]),
            ("first failed", letter["first_failed_at"]),
            ("last failed", letter["last_failed_at"]),
            ("error", logs.clean(letter["error"])),
        ]
    )
    for failure in letter.get("errors", []):
        screen.line(f"  attempt {failure['attempt']}: {logs.clean(failure['error'])}")
    for line in letter.get("traceback", "").splitlines():
        screen.line(f"  {logs.clean(line)}")
