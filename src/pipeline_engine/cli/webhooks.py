"""`webhooks`: the endpoints of tenants from the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, TypeVar

import typer

from pipeline_engine.app import App
from pipeline_engine.cli import session, webhook_views
from pipeline_engine.cli.arguments import Account, Newest, read_account, read_id
from pipeline_engine.cli.daemons import request
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.webhooks import control
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.webhook_repos import WebhookRepos

SWEEP = "events.outbox"
SHOWN_DELIVERIES = 5

State = Literal["pending", "delivered", "failed"]
WebhookId = Annotated[str, typer.Argument(metavar="ID", help="The `_id` of the webhook.")]

T = TypeVar("T")

program = typer.Typer(help="Webhooks: look at endpoints, test, enable, rotate.", invoke_without_command=True)


@program.callback()
def default(context: typer.Context) -> None:
    """Webhooks: list (also without a word), show, test, enable, rotate, deliveries."""
    if context.invoked_subcommand is None:
        list_webhooks()


@program.command("list")
def list_webhooks(account: Account = None, limit: Newest = 50) -> None:
    """The endpoints, each with its health."""
    account_id = read_account(account)
    found = _ask(lambda app: app.repos.webhooks.latest(limit, account_id))
    Screen().table(webhook_views.WEBHOOK_COLUMNS, map(webhook_views.webhook_row, found))


@program.command("show")
def show_webhook(id: WebhookId) -> None:
    """One endpoint, and its newest deliveries."""
    webhook_id = read_id(id)

    async def work(app: App[WebhookRepos]) -> tuple[Document, list[Document]]:
        webhook = dict(await control.look_up(app, webhook_id))
        return webhook, await app.repos.webhook_deliveries.latest(webhook_id, SHOWN_DELIVERIES)

    webhook, newest = _ask(work)
    screen = Screen()
    screen.facts(webhook_views.facts(webhook))
    if newest:
        screen.table(webhook_views.DELIVERY_COLUMNS, map(webhook_views.delivery_row, newest))


@program.command("test")
def test_webhook(id: WebhookId) -> None:
    """Post an event `webhook.test` to it now, also when it is disabled."""
    webhook_id = read_id(id)
    reply = _ask(lambda app: control.test(app, webhook_id))
    if reply.error:
        session.leave(f"not accepted after {reply.ms} ms: {reply.error}", session.FAILED)
    Screen().line(f"accepted with {reply.status} after {reply.ms} ms")


@program.command()
def enable(id: WebhookId) -> None:
    """Switch it on again; what is pending for it is delivered now."""
    webhook_id = read_id(id)
    line = f"webhook {webhook_id} is enabled; what is pending for it is due now"
    request(lambda app: control.enable(app.with_repos(WebhookRepos.open), webhook_id), SWEEP, lambda _: line)


@program.command()
def rotate(id: WebhookId) -> None:
    """Give it a new secret, which is printed once; the one before signs as well for 24 hours."""
    webhook_id = read_id(id)
    made = _ask(lambda app: control.rotate(app, webhook_id))
    screen = Screen()
    screen.line(made.secret)
    screen.line(f"The secret before signs as well until {made.previous_until:%Y-%m-%d %H:%M:%S} UTC.")


@program.command()
def deliveries(
    id: WebhookId,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    limit: Newest = 20,
) -> None:
    """Its deliveries, the newest first, each with its last attempt."""
    webhook_id = read_id(id)
    found = _ask(lambda app: app.repos.webhook_deliveries.latest(webhook_id, limit, state))
    Screen().table(webhook_views.DELIVERY_COLUMNS, map(webhook_views.delivery_row, found))


def _ask(question: Callable[[App[WebhookRepos]], Awaitable[T]]) -> T:
    return session.with_app(lambda app: question(app.with_repos(WebhookRepos.open)))
