"""`python -m pipeline_engine`."""

from __future__ import annotations

import typer

from pipeline_engine.cli import run_once

program = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
program.command("run-once")(run_once.command)


def main() -> None:
    program()


if __name__ == "__main__":
    main()
