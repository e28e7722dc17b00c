"""What a program does that `ChildProcess` starts: reads messages from its standard input and writes answers to its
standard output, each a length of four bytes and that many bytes, and is kept from doing anything else."""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

LENGTH = 4


def messages(seconds: float, memory: int) -> Iterator[bytes]:
    """Until the input ends. With each message, this process may use so many seconds of processor time, then the kernel
    ends it; and so many bytes more memory than it has, then there is a MemoryError. It can neither write files nor
    start programs."""
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    while length := sys.stdin.buffer.read(LENGTH):
        message = sys.stdin.buffer.read(int.from_bytes(length, "big"))
        _limit_memory(memory)
        # Nothing handles the signal, so no loop in C or in Python outlives it.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        yield message
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.buffer.flush()


def answer(message: bytes) -> None:
    """Gone at the latest when the next message is asked for."""
    sys.stdout.buffer.write(len(message).to_bytes(LENGTH, "big"))
    sys.stdout.buffer.write(message)


def _limit_memory(more: int) -> None:
    """Only Linux tells how much address space a process has, and only there the limit is kept."""
    state = Path("/proc/self/statm")
    if state.exists():
        pages = int(state.read_text().split()[0])
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))
