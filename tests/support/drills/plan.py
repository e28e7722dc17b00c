"""What a drill needs to know of one system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

from tests.support.drills.observer import Observer
from tests.support.world import World


class Plan(Protocol):
    """How the work of a system is made, when it is over, and what must hold then.

    A plan has a `plant` of its own besides: it makes work and remembers what has to become of it.
    """

    @property
    def sweeps(self) -> Sequence[str]:
        """The names of the sweeps that find the work."""

    def open(self, world: World, observer: Observer) -> AbstractAsyncContextManager[Mapping[str, str]]:
        """Prepares the world; gives the settings that daemons need for this system, while it is open."""

    def done(self) -> int:
        """How many units (chunks, deals, steps) have ended."""

    def is_over(self) -> bool:
        """Whether all planted work has ended, well or not, and has left its events in the outbox."""

    def violations(self, max_orphaned: timedelta) -> list[str]:
        """What is wrong with work that should have ended well, as `I4: ...`; empty when all is well."""
