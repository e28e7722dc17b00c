"""A job that MongoDB did not let work comes back without having used up an attempt."""

from __future__ import annotations

from functools import wraps
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.errors import Unreachable
from pipeline_engine.lanes import Handler, Outcome
from pipeline_engine.repos.client import is_away


def resting(handler: Handler[App]) -> Handler[App]:
    """The handler, with MongoDB's absence told as `Unreachable`."""

    @wraps(handler)
    async def run(*args: Any) -> Outcome | None:
        try:
            return await handler(*args)
        except Exception as error:
            if is_away(error):
                raise Unreachable(f"MongoDB: {error}") from error
            raise

    return run
