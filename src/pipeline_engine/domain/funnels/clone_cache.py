"""What this process remembers of running clones, so that the steps of one need not ask for it again.

Nothing here is needed: a step of another process, or after a restart, reads the same from MongoDB.
"""

from __future__ import annotations

from pipeline_engine.domain.funnels.clone_map import CloneMaps
from pipeline_engine.domain.funnels.copies import Copies
from pipeline_engine.domain.funnels.progress import Progress


class CloneCache:
    def __init__(self, copies_at_once: int) -> None:
        self.copies = Copies(copies_at_once)
        self.clone_maps = CloneMaps()
        self.progress = Progress()
