"""`dlq retry` of many: which letters are meant, and what the command says about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import typer
from bson import ObjectId

from pipeline_engine import workers
from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain import dead_letters
from pipeline_engine.domain.bulk_retry import BulkResult, Pace, retry_all
from pipeline_engine.domain.dead_letters import Letter
from pipeline_engine.repos.job_store import EVERY_LETTER, LetterFilter


@dataclass(frozen=True)
class ChosenLetters:
    """The dead letters that the options of a command mean."""

    letters: LetterFilter
    account_id: ObjectId | None = None
    type: str | None = None
    """A kind of job, or a type of event."""

    @property
    def chooses(self) -> bool:
        """Whether any option was given."""
        return self.letters != EVERY_LETTER or self.account_id is not None or self.type is not None

    async def find(self, app: App) -> list[Letter]:
        """The letters, the newest first."""
        kinds = {kind.name: kind for system in workers.SYSTEMS for kind in system.handlers}
        if self.type is None or self.type in kinds:
            return await dead_letters.find(app, kinds, replace(self.letters, function=self.type), self.account_id)
        return await dead_letters.find(app, kinds, self.letters, self.account_id, self.type)


def retry_many(wanted: ChosenLetters, pace: Pace, dry_run: bool) -> bool:
    """Retry the letters, the oldest first, and print what became of them. Returns False when the retry stopped."""
    screen = Screen()

    async def work(app: App) -> BulkResult:
        letters: Sequence[Letter] = (await wanted.find(app))[::-1]
        if dry_run:
            return BulkResult(0, len(letters))
        if len(letters) > 1 and pace.checks:
            screen.line(f"{len(letters)} dead letters; {letters[0]['_id']} goes first, for up to {pace.wait:g} s")
        return await retry_all(app, letters, pace)

    result = session.with_app(work)
    if dry_run:
        screen.line(f"{result.left} dead letters would go back into their lanes")
        return True
    screen.line(f"{result.retried} back in their lanes" if result.retried else "no dead letters")
    if result.stopped:
        typer.echo(f"stopped: {result.stopped}; {result.left} stay dead letters", err=True)
    return not result.stopped
