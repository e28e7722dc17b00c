"""The drill's plan for clones: originals with everything that can be copied, and clones for a sibling account."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from bson import ObjectId

from tests.support.drills.case import Document, violations
from tests.support.drills.clones.case import CloneCase, Source, clone_case, clone_source
from tests.support.drills.clones.checks import CHECKS
from tests.support.drills.drill import Drill
from tests.support.drills.history import MAX_ORPHANED
from tests.support.drills.observer import Observer
from tests.support.funnels import DOMAIN, Original, funnel_of, give_chat_token, new_clone
from tests.support.world import World


class Marked(Original):
    """Every page of it shows two images and two forms that all pages share, and one image of its own.

    The names of its images and forms begin with `mark`, so that copies stand out in a shared bucket.
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


class ClonePlan:
    """Clones of funnels; a unit is a step."""

    sweeps = ("funnels.clone",)

    def __init__(self) -> None:
        self.planted: list[Planted] = []

    @asynccontextmanager
    async def open(self, world: World, observer: Observer) -> AsyncIterator[Mapping[str, str]]:
        self._world, self._observer, self._buyer = world, observer, world.neighbour()
        siblings = {"_id": {"$in": [world.account, self._buyer.account]}}
        world.db["_accounts"].update_many(siblings, {"$set": {"parent_account": ObjectId()}})
        give_chat_token(world)
        yield {"PREVIEW_DOMAIN": DOMAIN}
        self._buyer.close()

    def plant(self, steps: int) -> Planted:
        """A clone of a new original is wanted."""
        original = Marked(self._world, steps)
        versions = [clone_source(self._observer, original.id, original.mark)]
        self.planted.append(Planted(new_clone(self._buyer, original), original, versions))
        return self.planted[-1]

    def edit(self, planted: Planted, text: str) -> None:
        """A user writes the source anew."""
        planted.original.edit(text)
        planted.versions.append(clone_source(self._observer, planted.original.id, planted.original.mark))

    def funnel(self, planted: Planted) -> Document:
        return funnel_of(self._world, planted.clone)

    def done(self) -> int:
        clones = [one.clone for one in self.planted]
        return self._world.db["funnel.step"].count_documents({"funnel_id": {"$in": clones}, "clone_state": "done"})

    def is_over(self) -> bool:
        ended = {"pending": False, "in_progress": False, "clone.finished_at": {"$ne": None}, "events_due": None}
        clones = {"_id": {"$in": [one.clone for one in self.planted]}}
        return self._world.db["funnels"].count_documents({**clones, **ended}) == len(self.planted)

    def violations(self, max_orphaned: timedelta) -> list[str]:
        return [
            f"{one.clone}: {violation}"
            for one in self.planted
            for violation in violations(self.case(one, max_orphaned), CHECKS)
        ]

    def case(self, planted: Planted, max_orphaned: timedelta = MAX_ORPHANED) -> CloneCase:
        return clone_case(self._observer, planted.clone, planted.versions, planted.original.mark, max_orphaned)


CloneDrill: TypeAlias = Drill[ClonePlan]
