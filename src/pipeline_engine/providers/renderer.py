"""Renders tenants' templates in a child process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.child_process import ChildProcess, Died, Late, Pipe, TookTooLong
from pipeline_engine.providers.rendering import Batch, Filled

PROGRAM = "pipeline_engine.providers.template_process"
BATCH_TIMEOUT = 10.0  # real time; a batch may use only 1 s of processor time, so only a stuck machine takes as long

Texts = dict[str, str]


class Renderer:
    """The process that renders templates: `async with Renderer() as renderer`."""

    def __init__(self, timeout: float = BATCH_TIMEOUT) -> None:
        self._timeout = timeout
        self._child = ChildProcess(PROGRAM, timeout)
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
        known: Mapping[str, Sequence[str]] | None = None,
    ) -> list[Texts | Permanent]:
        """Render a template's parts with each context. Returns the texts by part, or the error, in the contexts' order.

        Values are escaped in `html` and nowhere else. A missing `text` is made from `html`. `known`: by variable, the
        fields that are empty where a context lacks them; a template that names any other is refused for all contexts.

        Raises: Permanent when the template takes too long; Transient when the process does not run.
        """
        batch = self._encode(
            Batch(dict(parts), list(contexts), {name: list(fields) for name, fields in (known or {}).items()})
        )

        async def fill(pipe: Pipe) -> list[Filled]:
            await pipe.send(batch)
            return [self._decode(await pipe.receive()) for _ in contexts]

        try:
            filled = await self._child.talk(fill)
        except TookTooLong:
            reason = "the template takes too long: over 1 s of processor time for a batch"
            raise Permanent(reason, "bad_template") from None
        except Died as death:
            raise Permanent(f"the template ends the process that renders it: {death}", "bad_template") from None
        except Late:
            raise Transient(f"templates were not filled in within {self._timeout:g} s") from None
        return [Permanent(one.error, "bad_template") if one.error else one.texts for one in filled]
