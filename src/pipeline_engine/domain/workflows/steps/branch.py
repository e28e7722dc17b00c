"""Goes on with one of two lists of steps, by a condition on the event and on the contact as it is now."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from pipeline_engine.domain.filters import Filter, matches, read_filter
from pipeline_engine.domain.workflows.step import StepConfig, StepPassed, StepRun

ReadFilter = Annotated[Filter, BeforeValidator(read_filter)]


class Branching(StepConfig):
    condition: ReadFilter = Field(alias="if")
    then: list[Any] = Field(default_factory=list)
    otherwise: list[Any] = Field(default_factory=list, alias="else")


async def perform(run: StepRun, config: Branching) -> StepPassed:
    holds = matches(config.condition, await run.facts(config.condition))
    # It takes no time: what ends a wait behind it may have come since the step before it began.
    return StepPassed("the condition holds" if holds else "the condition does not hold", otherwise=not holds)


async def rehearse(run: StepRun, config: Branching) -> str:
    holds = matches(config.condition, await run.facts(config.condition))
    return f"the condition {'holds: then' if holds else 'does not hold: else'}"
