"""What this process remembers of running clones, so that the steps of one need not ask for it again.

Nothing here is needed: a step of another process, or after a restart, reads the same from MongoDB.
"""

from __future__ import annotations

from pipeline_engine.domain.funnels.blueprint import Blueprints
from pipeline_engine.domain.funnels.copies import Copies
from pipeline_engine.domain.funnels.progress import Progress


class Desk:
    def __init__(self, copies_at_once: int) -> None:
        self.copies = Copies(copies_at_once)
        self.blueprints = Blueprints()
        self.progress = Progress()
