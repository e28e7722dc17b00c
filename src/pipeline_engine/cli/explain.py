"""`explain`: why something happened or did not, and what happens next. One sub-command per system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from pipeline_engine.cli.arguments import AsJson, read_id
from pipeline_engine.cli.daemons import ask
from pipeline_engine.cli.explain_words import findings, verdict
from pipeline_engine.cli.screen import Screen, json_line
from pipeline_engine.domain.automations import explain as automations
from pipeline_engine.domain.consumers import explain as events
from pipeline_engine.domain.explanation import Condition
from pipeline_engine.domain.funnels import explain as funnels
from pipeline_engine.domain.imports import explain as imports
from pipeline_engine.domain.leads import explain as leads
from pipeline_engine.domain.sequences import explain as sequences
from pipeline_engine.domain.workflows import explain as workflows
from pipeline_engine.repos.automation_repos import AutomationRepos
from pipeline_engine.repos.consumer_repos import ConsumerRepos
from pipeline_engine.repos.funnel_repos import FunnelRepos
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.imports import ENDED
from pipeline_engine.repos.lead_repos import LeadRepos
from pipeline_engine.repos.sequence_repos import SequenceRepos
from pipeline_engine.repos.workflow_repos import WorkflowRepos

program = typer.Typer(help="Why something happened or did not, and what happens next.")


@program.callback()
def group() -> None:
    """Why something happened or did not, and what happens next: in one sentence, then with all that was found."""


@program.command("automation")
def automation(
    id: Annotated[str, typer.Argument(metavar="AUTOMATION_ID")],
    deal: Annotated[str, typer.Option(metavar="DEAL_ID", help="The deal to explain it for.")],
    as_json: AsJson = False,
) -> None:
    """Why an automation fires for a deal or does not. Exit code 1: there is no such automation or deal."""
    automation_id, deal_id = read_id(id, "AUTOMATION_ID"), read_id(deal, "--deal")
    found = ask(lambda app: automations.explain(app.with_repos(AutomationRepos.open), automation_id, deal_id))
    if as_json:
        typer.echo(json_line(found))
        return
    screen = Screen()
    screen.line(verdict("This automation", found.next, "will not fire for this deal"), "bold")
    screen.facts([("automation", f"{found.automation} ({found.type})"), ("deal", found.deal)])
    _findings(screen, found.conditions)
    rows = [(one.at, one.source, one.state, one.attempts, _doubt(one.ambiguous), one.detail) for one in found.history]
    if rows:
        screen.table(("at (UTC)", "written in", "state", "attempts", "doubt", "detail"), rows)
    else:
        screen.line("nothing has been tried for this deal yet, as far as the records go back")


@program.command("import")
def deal_import(id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """How far an import is, and what it waits for. Exit code 1: there is no such import."""
    import_id = read_id(id)
    found = ask(lambda app: imports.explain(app.with_repos(ImportRepos.open), import_id))
    if as_json:
        typer.echo(json_line(found))
        return
    screen = Screen()
    over = found.status in ENDED
    screen.line(verdict("This import", found.next, "has ended" if over else "will not go on"), "bold")
    screen.facts([("import", found.queue), ("status", found.status), ("attempts", found.attempts)])
    screen.facts([("file read as", found.dialect), *(("row errors", line) for line in found.errors)])
    screen.facts(("warning", warning) for warning in found.warnings)
    screen.facts([("why", found.error), *((name.replace("_", " "), value) for name, value in found.figures.items())])
    _findings(screen, found.conditions)
    if found.chunks:
        screen.table(("chunks", "how many", "rows"), [(one.state, one.chunks, one.rows) for one in found.chunks])
    if found.held:
        rows = [(one.chunk, one.owner, one.until, one.attempts, one.error) for one in found.held]
        screen.table(("open chunk", "held by", "until (UTC)", "attempts", "last error"), rows)


@program.command("clone")
def clone(id: Annotated[str, typer.Argument(metavar="FUNNEL_ID")], as_json: AsJson = False) -> None:
    """How far a clone is, what waits and what failed. Exit code 1: there is no such clone."""
    funnel_id = read_id(id, "FUNNEL_ID")
    found = ask(lambda app: funnels.explain(app.with_repos(FunnelRepos.open), funnel_id))
    if as_json:
        typer.echo(json_line(found))
        return
    screen = Screen()
    screen.line(verdict("This clone", found.next), "bold")
    screen.facts([("clone", found.funnel), ("of", found.original), ("status", found.status), ("why", found.error)])
    _findings(screen, found.conditions)
    if found.steps:
        rows = [
            (one.step, one.original, one.state, one.owner, one.until, one.attempts, one.error) for one in found.steps
        ]
        screen.table(("step", "of", "state", "held by", "until (UTC)", "attempts", "last error"), rows)
    for warning in found.warnings:
        screen.line(f"warning: {warning}")


@program.command("lead")
def lead(id: Annotated[str, typer.Argument(metavar="LEAD_ID")], as_json: AsJson = False) -> None:
    """Where a lead stands, why, and what is next. Exit code 1: there is no such lead."""
    lead_id = read_id(id, "LEAD_ID")
    found = ask(lambda app: leads.explain(app.with_repos(LeadRepos.open), lead_id))
    if as_json:
        typer.echo(json_line(found))
        return
    screen = Screen()
    subject = f"Action {found.action} of this lead" if found.action and found.status == "active" else "This lead's run"
    screen.line(verdict(subject, found.next), "bold")
    screen.facts([("lead", found.lead), ("stage", found.stage), ("status", found.status), ("action", found.action)])
    screen.facts([("then", ", ".join(found.ahead))])
    _findings(screen, found.conditions)
    if found.history:
        rows = [(one.at, one.source, one.state, one.detail) for one in found.history]
        screen.table(("at (UTC)", "of", "state", "detail"), rows)


@program.command("event")
def event(
    id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The `_id` of the event.")], as_json: AsJson = False
) -> None:
    """Who has had a CRM event, what it waits for and why. Exit code 1: there is no such event."""
    found = ask(lambda app: events.explain(app.with_repos(ConsumerRepos.open), id))
    if as_json:
        typer.echo(json_line(found))
        return
    screen = Screen()
    screen.line(
        verdict("This event", found.next, "has ended" if found.status in ("done", "dead") else "is not taken"), "bold"
    )
    screen.facts([("event", found.event), ("type", found.type), ("status", found.status), ("key", found.key)])
    screen.facts([("attempts", found.attempts), ("because of", ", ".join(found.causes))])
    screen.facts([("not yet taken by", ", ".join(found.onward))])
    _findings(screen, found.conditions)
    if found.consumers:
        screen.table(("consumer", "state"), [(one.consumer, one.state) for one in found.consumers])
    if found.errors:
        screen.table(("at (UTC)", "attempt", "error"), [(one.at, one.attempt, one.error) for one in found.errors])


@program.command("workflow")
def workflow(id: Annotated[str, typer.Argument(metavar="ENROLLMENT_ID")], as_json: AsJson = False) -> None:
    """Where a contact stands in a workflow, why, and what is next. Exit code 1: there is no such enrolment."""
    enrollment_id = read_id(id, "ENROLLMENT_ID")
    found = ask(lambda app: workflows.explain(app.with_repos(WorkflowRepos.open), enrollment_id))
    if as_json:
        typer.echo(json_line(found))
        return
    screen = Screen()
    screen.line(verdict("This enrolment", found.next), "bold")
    screen.facts([("enrolment", found.enrollment), ("workflow", f"{found.workflow} (version {found.version})")])
    screen.facts([("contact", found.contact), ("status", found.status), ("step", found.step), ("cause", found.cause)])
    screen.facts([("then", ", ".join(found.ahead))])
    _findings(screen, found.conditions)
    if found.history:
        rows = [(one.at, one.source, one.state, one.detail) for one in found.history]
        screen.table(("at (UTC)", "of", "state", "detail"), rows)


@program.command("sequence")
def sequence(id: Annotated[str, typer.Argument(metavar="ENROLLMENT_ID")], as_json: AsJson = False) -> None:
    """Where a contact stands in a sequence, why, and what is next. Exit code 1: there is no such enrolment."""
    enrollment_id = read_id(id, "ENROLLMENT_ID")
    found = ask(lambda app: sequences.explain(app.with_repos(SequenceRepos.open), enrollment_id))
    if as_json:
        typer.echo(json_line(found))
        return
    screen = Screen()
    screen.line(verdict("This enrolment", found.next), "bold")
    screen.facts([("enrolment", found.enrollment), ("sequence", found.sequence), ("contact", found.contact)])
    screen.facts([("status", found.status), ("step", found.step), ("mailbox", found.mailbox)])
    _findings(screen, found.conditions)
    if found.history:
        rows = [(one.at, one.source, one.state, one.detail) for one in found.history]
        screen.table(("at (UTC)", "of", "state", "detail"), rows)


def _findings(screen: Screen, conditions: Sequence[Condition]) -> None:
    # What has ended has one condition only, its status, which stands above.
    if len(conditions) > 1:
        screen.table(("what", "found", "effect"), findings(conditions))


def _doubt(ambiguous: bool) -> str:
    return "may have gone out twice" if ambiguous else ""
