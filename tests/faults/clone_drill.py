"""A drill with funnels: originals with everything that can be copied, and clones of them for a sibling account."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bson import ObjectId

from tests.faults.clone_checker import Checker, Source
from tests.faults.drill import Drill
from tests.support.funnels import DOMAIN, Original, funnel_of, give_chat_token, new_clone
from tests.support.history import LONGEST_ORPHAN
from tests.support.world import World

Document = dict[str, Any]


class Marked(Original):
    """Every page of it shows two images and two forms that all pages share, and one image of its own.

    The names of its images and forms begin with `mark`, so that copies can be told from others' in a shared bucket.
    """

    def __init__(self, world: World, steps: int) -> None:
        self.mark, self._more = f"m{secrets.token_hex(4)}", ""
        super().__init__(world, steps)
        badge, survey = self.image("badge.png", b"the badge"), self.add_form("Survey")
        self._more = f'<img src="https://s3.example/crm/{badge}"><iframe src="/userform/{survey}"></iframe>'
        self.edit("")

    def edit(self, text: str) -> None:
        """Write all pages and components anew, with this text at their end."""
        for n in range(len(self.steps)):
            self.write(n, self.page(n) + text)

    def image(self, name: str, body: bytes | None, **changes: Any) -> str:
        return super().image(f"{self.mark} {name}", body, **changes)

    def add_form(self, name: str, **changes: Any) -> str:
        return super().add_form(f"{self.mark} {name}", **changes)

    def page(self, n: int) -> str:
        return super().page(n) + self._more


@dataclass(frozen=True)
class Planted:
    """A clone that is wanted, and its source in every version so far."""

    clone: ObjectId
    original: Marked
    versions: list[Source]


class CloneDrill(Drill):
    """In one database, with the daemons that it started."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        super().__init__({**environment, "PREVIEW_DOMAIN": DOMAIN}, "", folder)
        self.planted: list[Planted] = []

    def __enter__(self) -> Self:
        super().__enter__()
        self.clones = Checker(self.environment)
        self.buyer = self.world.neighbour()
        siblings = {"_id": {"$in": [self.world.account, self.buyer.account]}}
        self.world.db["_accounts"].update_many(siblings, {"$set": {"parent_account": ObjectId()}})
        give_chat_token(self.world)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.clones.close()
        self.buyer.close()

    def plant(self, steps: int) -> Planted:
        """A clone of a new original is wanted."""
        original = Marked(self.world, steps)
        versions = [self.clones.source(original.id, original.mark)]
        self.planted.append(Planted(new_clone(self.buyer, original), original, versions))
        return self.planted[-1]

    def edit(self, planted: Planted, text: str) -> None:
        """Somebody writes the source anew."""
        planted.original.edit(text)
        planted.versions.append(self.clones.source(planted.original.id, planted.original.mark))

    def funnel(self, planted: Planted) -> Document:
        return funnel_of(self.world, planted.clone)

    def done(self) -> int:
        """How many steps are done, of all clones."""
        clones = [one.clone for one in self.planted]
        return self.world.db["funnel.step"].count_documents({"funnel_id": {"$in": clones}, "clone_state": "done"})

    def at_rest(self) -> bool:
        """Whether all clones have ended, well or not, and everybody has heard of it."""
        db = self.world.db
        ended = {"pending": False, "in_progress": False, "clone.finished_at": {"$ne": None}, "events_due": None}
        clones = {"_id": {"$in": [one.clone for one in self.planted]}}
        return (
            db["funnels"].count_documents({**clones, **ended}) == len(self.planted)
            and db["outbox"].count_documents({"state": "waiting"}) == 0
            and self.jobs_left() == 0
        )

    async def come_to_rest(self, patience: float = 40) -> float:
        """Returns after how many seconds all was done."""
        return await self.until(self.at_rest, "all clones are at rest", patience)

    def judge(self, patience: timedelta = LONGEST_ORPHAN) -> None:
        """Everything that reliability.md promises of clones holds."""
        found = [
            f"{one.clone}: {violation}"
            for one in self.planted
            for violation in self.clones.violations(one.clone, one.versions, one.original.mark, patience)
        ]
        assert not found, "\n".join([*found, *(daemon.tail() for daemon in self.daemons)])

    async def run_once(self) -> dict[str, Document]:
        """{sweep: what `run-once` says of it}, for clones and their events, through the real door."""
        words = ["-m", "pipeline_engine", "run-once", "funnels.clone", "events.outbox", "--json"]
        child = await asyncio.create_subprocess_exec(
            sys.executable, *words, env=self.environment, cwd=self._folder, stdout=PIPE, stderr=PIPE
        )
        out, err = await child.communicate()
        assert child.returncode == 0, err.decode()
        return {one["name"]: one for one in json.loads(out)["sweeps"]}
