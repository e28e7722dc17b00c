"""`mail`: the mailboxes of tenants from the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from pipeline_engine.app import App
from pipeline_engine.cli import mail_views, session
from pipeline_engine.cli.arguments import Account, Newest, read_account, read_id
from pipeline_engine.cli.daemons import request
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.mailboxes import control
from pipeline_engine.domain.mailboxes.control import MailboxReport
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.mailbox_repos import MailboxRepos

SWEEP = "crm.email_sync"

MailboxId = Annotated[str, typer.Argument(metavar="ID", help="The `_id` of the `email_accounts` document.")]

T = TypeVar("T")

program = typer.Typer(help="Mailboxes: look at them, read one anew, compare one.", invoke_without_command=True)


@program.callback()
def default(context: typer.Context) -> None:
    """Mailboxes: list (also without a word), show, resync, reconcile."""
    if context.invoked_subcommand is None:
        list_mailboxes()


@program.command("list")
def list_mailboxes(account: Account = None, limit: Newest = 50) -> None:
    """The mailboxes and where each stands."""
    account_id = read_account(account)

    async def work(app: App[MailboxRepos]) -> list[tuple[object, ...]]:
        found = await app.repos.email_accounts.latest(limit, account_id)
        return [mail_views.mailbox_row(one, app.clock.now()) for one in found]

    Screen().table(mail_views.MAILBOX_COLUMNS, _ask(work), unbroken=("id",))


@program.command("show")
def show_mailbox(id: MailboxId, limit: Newest = 20) -> None:
    """A mailbox: its cursors and parked messages."""
    mailbox_id = read_id(id)

    async def work(app: App[MailboxRepos]) -> tuple[MailboxReport, list[tuple[str, object]]]:
        report = await control.look_up(app, mailbox_id, limit)
        return report, mail_views.facts(report, app.clock.now())

    report, facts = _ask(work)
    screen = Screen()
    screen.facts(facts)
    if rows := mail_views.folder_rows(report.mailbox):
        screen.table(mail_views.FOLDER_COLUMNS, rows)
    if report.parked:
        screen.table(mail_views.PARKED_COLUMNS, map(mail_views.parked_row, report.parked))


@program.command()
def resync(id: MailboxId) -> None:
    """Read it from the beginning of its window again.

    Also what was left out is read. What is stored stays, once.
    """
    _request(id, "resync", "is read from the beginning again")


@program.command()
def reconcile(id: MailboxId) -> None:
    """Fetch what is missing, now instead of at night."""
    _request(id, "reconcile", "is compared with what is stored")


def _request(id: str, what: str, consequence: str) -> None:
    mailbox_id = read_id(id)

    async def ask(app: App) -> Document:
        return await control.ask(app.with_repos(MailboxRepos.open), mailbox_id, what)

    request(ask, SWEEP, lambda mailbox: f"mailbox {mailbox['_id']} {consequence}")


def _ask(question: Callable[[App[MailboxRepos]], Awaitable[T]]) -> T:
    return session.with_app(lambda app: question(app.with_repos(MailboxRepos.open)))
