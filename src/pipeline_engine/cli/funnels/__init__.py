"""`funnels`: clones of funnels from the command line, one file per word."""

from __future__ import annotations

import typer

from pipeline_engine.cli.funnels import cancel, listing, retry, show

program = typer.Typer(help="Funnel clones: list, show, retry, cancel.", invoke_without_command=True)
program.command("list")(listing.command)
program.command("show")(show.command)
program.command("retry")(retry.command)
program.command("cancel")(cancel.command)


@program.callback()
def default(context: typer.Context) -> None:
    """Funnel clones: list (also without a word), show, retry, cancel."""
    if context.invoked_subcommand is None:
        listing.command()
