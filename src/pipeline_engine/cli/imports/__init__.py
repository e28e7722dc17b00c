"""`imports`: deal imports from the command line, one file per word."""

from __future__ import annotations

import typer

from pipeline_engine.cli.imports import cancel, listing, retry, show, submit, watch

program = typer.Typer(help="Deal imports: list, show, watch, cancel, retry, submit.", invoke_without_command=True)
program.command("list")(listing.command)
program.command("show")(show.command)
program.command("watch")(watch.command)
program.command("cancel")(cancel.command)
program.command("retry")(retry.command)
program.command("submit")(submit.command)


@program.callback()
def default(context: typer.Context) -> None:
    """Deal imports: list (also without a word), show, watch, cancel, retry, submit."""
    if context.invoked_subcommand is None:
        listing.command()
