"""`python -m pipeline_engine`."""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C while modules load ends the process at once; `session.run` lets it raise again.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import typer

from pipeline_engine.cli import (
    demo,
    dev,
    dlq,
    doctor,
    events,
    explain,
    forecast,
    funnels,
    imports,
    indexes,
    jobs,
    leads,
    mail,
    quarantine,
    queues,
    run_once,
    serve,
    session,
    webhooks,
    workflows,
)

program = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
program.command("run-once")(run_once.command)
program.command("demo")(demo.command)
program.command("dev")(dev.command)
program.command("serve")(serve.command)
program.command("doctor")(doctor.command)
program.command("indexes")(indexes.command)
program.add_typer(queues.program, name="queues")
program.add_typer(dlq.program, name="dlq")
program.add_typer(quarantine.program, name="quarantine")
program.add_typer(imports.program, name="imports")
program.add_typer(funnels.program, name="funnels")
program.add_typer(leads.program, name="leads")
program.add_typer(webhooks.program, name="webhooks")
program.add_typer(workflows.program, name="workflows")
program.add_typer(mail.program, name="mail")
program.add_typer(events.program, name="events")
program.add_typer(jobs.program, name="jobs")
program.add_typer(explain.program, name="explain")
program.add_typer(forecast.program, name="forecast")


def main() -> None:
    """Run the command line; exits with the code of its outcome."""
    session.run(program)


if __name__ == "__main__":
    main()
