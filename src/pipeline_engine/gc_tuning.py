"""Tells Python's collector to leave alone what lives for as long as the process, or hardly at all."""

from __future__ import annotations

import gc


def collect_less() -> None:
    """Once per process, after start-up: what there is by then is never looked at again, nor freed."""
    # Rows become many small dicts that live for some milliseconds and are in no cycle. With Python's own thresholds the
    # collector looks through them, and all that start-up left, a hundred times a second: a fifth of an import's time.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
