"""Whether Redis answers, as all loops of a worker_pool see it together."""

from __future__ import annotations

import time

from pipeline_engine import logs

log = logs.get(__name__)


class Health:
    """Loops report here by name. Degraded means that at least one of them fails at the moment."""

    def __init__(self) -> None:
        self._failing: set[str] = set()
        self._lost_at = 0.0
        self._steady_since = time.monotonic()

    @property
    def degraded(self) -> bool:
        """True while Redis is away."""
        return bool(self._failing)

    @property
    def steady_for(self) -> float:
        """Seconds since the last trouble; 0 while there is some."""
        return 0.0 if self._failing else time.monotonic() - self._steady_since

    def failed(self, loop: str, error: BaseException) -> None:
        """This loop got no answer."""
        if not self._failing:
            self._lost_at = time.monotonic()
            log.warning("redis.lost", loop=loop, error=f"{type(error).__name__}: {error}")
        self._failing.add(loop)

    def worked(self, loop: str) -> None:
        """This loop got one."""
        if loop not in self._failing:
            return
        self._failing.discard(loop)
        if not self._failing:
            self._steady_since = time.monotonic()
            log.warning("redis.back", away_s=round(self._steady_since - self._lost_at, 1))
