"""Tunes the C library's allocator for a long life in which single documents are very large."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of glibc's `mallopt`."""
LARGE_BYTES = 4 * 1024 * 1024


def return_large_blocks() -> None:
    """Have every block of 4 MB or more returned to the system when it is freed, and all threads share one heap. Does
    nothing without glibc.

    Call it once per process, before threads are started and large blocks are allocated.
    """
    # By default glibc serves blocks of up to 32 MB from its heaps once one was freed, and keeps them: a single document
    # of 16 MB, decoded a few times, left the daemon 80 to 200 MB larger.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BYTES)
        # Each thread has a heap of its own otherwise, which keeps what its largest documents needed.
        mallopt(M_ARENA_MAX, 1)
