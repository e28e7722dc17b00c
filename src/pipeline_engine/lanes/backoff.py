"""How long a failed job waits for its next attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

JITTER = 0.25


@dataclass(frozen=True, slots=True)
class Backoff:
    """A rule for waiting times, in seconds. Jitter only adds, so no wait is shorter than the rule says."""

    kind: Literal["steps", "doubling"]
    seconds: tuple[float, ...]
    longest: float = 3600.0
    jitter: float = JITTER

    @classmethod
    def fixed(cls, seconds: float) -> Backoff:
        """The same wait before every attempt."""
        return cls("steps", (seconds,))

    @classmethod
    def steps(cls, *seconds: float) -> Backoff:
        """The n-th wait after the n-th failure; the last one repeats. Raises ValueError without any."""
        if not seconds:
            raise ValueError("Backoff.steps needs at least one wait")
        return cls("steps", seconds)

    @classmethod
    def doubling(cls, seconds: float, longest: float = 3600.0) -> Backoff:
        """The wait doubles after every failure, up to `longest` seconds."""
        return cls("doubling", (seconds,), longest)

    def delay(self, failures: int, chance: Callable[[], float]) -> float:
        """Seconds to wait after that many failures (from 1). `chance()` returns a number from 0 to 1."""
        return self._without_jitter(failures) * (1 + self.jitter * chance())

    def _without_jitter(self, failures: int) -> float:
        if self.kind == "steps":
            return self.seconds[min(failures, len(self.seconds)) - 1]
        # 2**30 times any wait exceeds every limit; a larger power would overflow the float.
        return min(self.longest, self.seconds[0] * 2.0 ** min(failures - 1, 30))
