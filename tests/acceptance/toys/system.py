"""Toys that are due are painted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.claimed import Claim, ClaimedRun, RunFailure, run_claimed
from pipeline_engine.domain.unit import Unit
from pipeline_engine.lanes import Backoff, JobKind, Lane, Outcome
from pipeline_engine.repos.changes import became
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import LEASE_OWNER_INDEX, CollectionSpec, LeaseSpec, StuckQuestion, index
from pipeline_engine.repos.lease import released
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.store import Store
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

# repos/toys.py
TOYS = CollectionSpec(
    "toys",
    indexes=(index("state"), LEASE_OWNER_INDEX),
    lease=LeaseSpec(flag="is_wet"),
    wakes=became("state", "due"),
    stuck=(StuckQuestion("toys that no one can paint", {"state": "broken"}),),
)


class Toys(Leased):
    spec = TOYS
    due: ClassVar[Document] = {"state": "due"}
    running: ClassVar[Document] = {"state": "due"}

    def claim_changes(self) -> Document:
        return {"attempts": {"$add": [{"$ifNull": ["$attempts", 0]}, 1]}}

    async def find_due(self) -> list[Document]:
        return await self._all.find({"$and": [self.claimable]}, projection=["account_id"])

    async def end(self, held: Mapping[str, Any], state: str) -> bool:
        return await self.write(held, {"state": state, **released(self.lease_spec)})


@dataclass(frozen=True)
class ToyRepos:
    toys: Toys

    @classmethod
    def open(cls, store: Store) -> ToyRepos:
        return cls(Toys(store))


# domain/toys/
PAINT = JobKind("toy.paint", Lane("toys.paint", 2, Backoff.fixed(1)), ObjectId)


async def find(app: App[ToyRepos]) -> list[Unit]:
    return [Unit.of(PAINT, one["_id"], one["account_id"]) for one in await app.repos.toys.find_due()]


async def outcomes(app: App[ToyRepos], ids: Sequence[str]) -> dict[str, str]:
    words = {"painted": "succeeded", "broken": "failed"}
    states = await app.repos.toys.states([ObjectId(id) for id in ids], "state")
    return {str(id): words.get(toy["state"], "busy") for id, toy in states.items()}


async def run_paint(app: App[ToyRepos], _cache: None, toy_id: ObjectId) -> Outcome | None:
    run = ClaimedRun("toy", partial(_paint, app), partial(_give_up, app), attempts=2, pause=0.1)
    return await run_claimed(app, app.repos.toys, toy_id, run, Claim[Toys])


async def _paint(app: App[ToyRepos], claim: Claim[Toys]) -> None:
    if claim.document.get("greasy"):
        raise ValueError("paint does not stick")
    await app.repos.toys.end(claim.document, "painted")


async def _give_up(app: App[ToyRepos], claim: Claim[Toys], _failure: RunFailure) -> None:
    await app.repos.toys.end(claim.document, "broken")


# workers/toys.py
SYSTEM = System(
    name="toys",
    switch="",
    collections=(TOYS,),
    open_repos=ToyRepos.open,
    handlers={PAINT: run_paint},
    sweeps=(Sweep("toys.paint", every=lambda _: 600, find=find, outcomes=outcomes, watches=frozenset({"toys"})),),
    triggers={"/api/trigger/toys": "toys.paint"},
)
