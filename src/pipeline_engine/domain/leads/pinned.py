"""The configuration of an action, pinned when the lead entered, and whether it may point at what it points at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pipeline_engine.domain.leads.config import ActionConfig, read_config, references_of
from pipeline_engine.domain.leads.work import Entry, Slice
from pipeline_engine.errors import Permanent

Config = TypeVar("Config", bound=ActionConfig)


async def pinned(slice: Slice, entries: Sequence[Entry], type: type[Config]) -> Config:
    """The configuration that all of the entries have.

    Raises: Permanent when it cannot be read, or points at a document of another account.
    """
    config = read_config(entries[0].row)
    if not isinstance(config, type):
        raise Permanent(f"action {entries[0].sequence} has the configuration of another type", "bad_action")
    for collection, ids in references_of(config).items():
        await slice.app.shared.references.check(collection, ids, slice.account_id)
    return config
