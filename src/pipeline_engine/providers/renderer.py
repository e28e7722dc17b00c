"""Renders tenants' templates in child processes, so that a slow one costs other tenants next to nothing.

One process is for templates that are quick; an account whose template was slow there goes to another process for a
while. A dialogue with either lasts for a slice of processor time, and each account has at most one in line.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

import msgspec

from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.providers.child_process import ChildProcess, Died, Late, Pipe, TookTooLong
from pipeline_engine.providers.rendering import Batch, Filled
from pipeline_engine.providers.template_names import known_names

PROGRAM = "pipeline_engine.providers.template_process"
DIALOGUE_TIMEOUT = 10.0  # real time; a slice is at most 1.3 s of processor time, so only a stuck machine takes as long
QUICK, SLOW = 0, 1
"""Places of the pool."""
CONTEXT_SECONDS = {QUICK: 0.2, SLOW: 1.0}  # processor time for one context; more ends the process
SLICE_SECONDS = 0.25  # processor time for several contexts, then other accounts have their turn
SLOW_PERIOD = 60.0  # seconds for which a slow account's templates go to the slow place
RENDER_SECONDS = 10.0  # real time after which the rest of the contexts is left to another call

Texts = dict[str, str]
NotRendered = Permanent | RateLimited
Known = Mapping[str, Sequence[str] | None]


class Renderer:
    """The processes that render templates: `async with Renderer() as renderer`."""

    def __init__(self, timeout: float = DIALOGUE_TIMEOUT) -> None:
        self._timeout = timeout
        self._child = ChildProcess(PROGRAM, timeout, pool_size=2)
        self._turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._slow_until: dict[Hashable, float] = {}
        # ObjectIds and other types of MongoDB become text.
        self._encode = msgspec.msgpack.Encoder(enc_hook=str).encode
        self._decode = msgspec.msgpack.Decoder(Filled).decode

    async def __aenter__(self) -> Self:
        await self._child.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._child.__aexit__(kind, error, trace)

    async def render(
        self,
        parts: Mapping[str, str],
        contexts: Sequence[dict[str, Any]],
        known: Known | None = None,
        account: Hashable = None,
    ) -> list[Texts | NotRendered]:
        """Render a template's parts with each context. Returns the texts by part, or the error, in the contexts' order.

        Values are escaped in `html` and nowhere else. A missing `text` is made from `html`. `known`: by variable, the
        fields that are empty where a context lacks them; a template that names any other is refused for all contexts.
        A context that takes too long fails alone; one for which no time was left has the error RateLimited.

        Raises: Transient when the process does not run.
        """
        rendered: list[Texts | NotRendered] = []
        names = known or {}
        async with self._turn_of(account):
            until = time.monotonic() + RENDER_SECONDS
            while len(rendered) < len(contexts):
                if rendered and time.monotonic() >= until:
                    late = RateLimited(1.0, "the account's templates take long; the rest follows")
                    return [*rendered, *[late] * (len(contexts) - len(rendered))]
                rendered += await self._dialogue(
                    Batch(dict(parts), list(contexts[len(rendered) :]), _plain(names)), account
                )
                if len(rendered) < len(contexts):  # what only contexts before have is known to the others as well
                    names = {
                        name: None if one is None else list(one) for name, one in known_names(names, contexts).items()
                    }
        return rendered

    async def names(self, parts: Mapping[str, str], account: Hashable = None) -> dict[str, list[str] | None] | None:
        """By variable, the fields that the template's parts name; None where they use the variable as a whole.

        Returns None when that takes too long: it may be any field. Raises: Transient when the process does not run.
        """
        async with self._turn_of(account):
            place = self._place_of(account)
            question = self._encode(Batch(dict(parts), [], seconds=CONTEXT_SECONDS[place]))
            talk = _Dialogue(question, 0, self._decode)
            try:
                await self._child.talk(talk.hold, about=place)
            except (TookTooLong, Died):
                self._slow_until[account] = time.monotonic() + SLOW_PERIOD
                return None
            except Late:
                raise self._late() from None
            return talk.names

    def _late(self) -> Transient:
        return Transient(f"templates were not filled in within {self._timeout:g} s")

    async def _dialogue(self, batch: Batch, account: Hashable) -> list[Texts | NotRendered]:
        """Render for one slice. Returns what came of the first contexts; of none when the account has turned slow."""
        place = self._place_of(account)
        limits = {"seconds": CONTEXT_SECONDS[place], "slice_seconds": SLICE_SECONDS}
        talk = _Dialogue(self._encode(msgspec.structs.replace(batch, **limits)), len(batch.contexts), self._decode)
        failure = None
        try:
            await self._child.talk(talk.hold, about=place)
        except TookTooLong:
            failure = f"the template takes too long: over {CONTEXT_SECONDS[place]:g} s of processor time for one record"
        except Died as death:
            failure = f"the template ends the process that renders it: {death}"
        except Late:
            raise self._late() from None
        if failure or talk.left:
            self._slow_until[account] = time.monotonic() + SLOW_PERIOD
        if talk.refusal or (failure and place == SLOW and not talk.was_read):
            return [Permanent(talk.refusal or str(failure), "bad_template")] * len(batch.contexts)
        done: list[Texts | NotRendered] = [_result(one) for one in talk.filled]
        return [*done, Permanent(failure, "bad_template")] if failure and place == SLOW else done

    def _place_of(self, account: Hashable) -> int:
        if time.monotonic() < self._slow_until.get(account, 0.0):
            return SLOW
        self._slow_until.pop(account, None)
        return QUICK

    def _turn_of(self, account: Hashable) -> asyncio.Lock:
        return self._turns.setdefault(account, asyncio.Lock())


@dataclass
class _Dialogue:
    """What the process answered to one batch so far: also when it ended in the middle."""

    batch: bytes
    contexts: int
    decode: Any
    filled: list[Filled] = field(default_factory=list)
    refusal: str | None = None
    names: dict[str, list[str] | None] = field(default_factory=dict)
    was_read: bool = False
    left: bool = False

    async def hold(self, pipe: Pipe) -> None:
        self.filled, self.was_read = [], False  # a dialogue is held again when the process ended
        await pipe.send(self.batch)
        first = self.decode(await pipe.receive())
        self.refusal, self.names = first.error, first.names
        self.was_read = True
        while not self.refusal and not self.left and len(self.filled) < self.contexts:
            one = self.decode(await pipe.receive())
            self.left = one.left
            self.filled += [] if one.left else [one]


def _plain(names: Known) -> dict[str, list[str] | None]:
    return {name: None if fields is None else list(fields) for name, fields in names.items()}


def _result(filled: Filled) -> Texts | NotRendered:
    return Permanent(filled.error, "bad_template") if filled.error else filled.texts
