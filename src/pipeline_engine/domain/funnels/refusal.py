"""Why a funnel cannot be cloned."""

from __future__ import annotations

from pipeline_engine.errors import Permanent


class CloneRefused(Permanent):
    """Only a person can change that; `code` is a short word for programs."""


class OriginalGone(CloneRefused):
    """There is nothing to clone. The message is the seed's."""

    def __init__(self, original_id: object) -> None:
        super().__init__(f"Original Funnel not found, id:{original_id}", "original_gone")
