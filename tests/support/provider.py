"""A provider that is a function of the test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Deal
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.messages.message import Deliver, Recorded


class Provider:
    """Takes what the automations of one type send; `answers` says by the deal's name what happens to it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.answers: dict[str, Callable[[], Awaitable[str | None]]] = {}

    def fail(self, name: str, *errors: Exception) -> None:
        """These, one per call, and then success."""
        left = list(errors)

        async def answer() -> str | None:
            if left:
                raise left.pop(0)
            return "sent at last"

        self.answers[name] = answer

    async def compose(self, _app: App, _automation: Automation, deals: Sequence[Deal]) -> list[Deliver | Exception]:
        return [self._deliver(deal["name"]) for deal in deals]

    def _deliver(self, name: str) -> Deliver:
        async def deliver(key: str, recorded: Recorded) -> str | None:
            await recorded()
            self.calls.append(key)
            return await self.answers[name]() if name in self.answers else "an id"

        return deliver
