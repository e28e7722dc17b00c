"""`dlq`: the dead letters, which are jobs that failed for good: list, show, retry, discard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.arguments import Newest, read_id
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain import dead_letters
from pipeline_engine.errors import Permanent

COLUMNS = ("id", "lane", "function", "attempts", "last failed", "error")

program = typer.Typer(help="Dead letters: list, show, retry, discard.", invoke_without_command=True)

Change = Callable[[App, ObjectId], Awaitable[None]]
Ids = Annotated[list[str], typer.Argument(metavar="ID...")]


@program.callback()
def default(context: typer.Context) -> None:
    """Dead letters: list (also without a word), show, retry, discard."""
    if context.invoked_subcommand is None:
        show_all()


@program.command("list")
def show_all(limit: Newest = 50) -> None:
    """The jobs that failed for good, neither retried nor discarded."""
    rows = [
        (one["_id"], one["lane"], one["function"], one["attempts"], one["last_failed_at"], logs.clean(one["error"]))
        for one in session.with_app(lambda app: app.shared.job_store.letters(limit=limit))
    ]
    screen = Screen()
    screen.table(COLUMNS, rows) if rows else screen.line("no dead letters")


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
) -> None:
    """Put jobs back into their lanes. Their attempts start anew."""
    if bool(ids) == everything:
        session.leave("give either ids or --all", session.USAGE)
    _settle(dead_letters.retry, "back in its lane", ids)


@program.command()
def discard(ids: Ids) -> None:
    """Discard jobs for good."""
    _settle(dead_letters.discard, "discarded", ids)


def _settle(change: Change, word: str, ids: Sequence[str] | None) -> None:
    """Change each letter. A letter that cannot be changed makes the exit code 1 and leaves the others alone."""
    chosen = [read_id(id) for id in ids or ()]

    async def work(app: App) -> bool:
        return all(
            [await _done(change(app, id), f"{id} {word}") for id in chosen or await app.shared.job_store.dead_ids()]
        )

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
