"""The child's side of `ChildProcess`: reads messages from standard input, writes answers to standard output.

Each is a length of four bytes and that many bytes. Limits keep the process from doing anything else.
"""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

LENGTH = 4


def messages(seconds: float, memory: int) -> Iterator[bytes]:
    """Yield the parent's messages until the input ends.

    For each message, this process may use `seconds` of processor time, then the kernel ends it, and `memory` bytes more
    than it has, then it gets a MemoryError. It can neither write files nor start programs.
    """
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    while length := sys.stdin.buffer.read(LENGTH):
        message = sys.stdin.buffer.read(int.from_bytes(length, "big"))
        _limit_memory(memory)
        # The process handles no signal, so this one ends it even inside a loop of C code.
        allow(seconds)
        yield message
        allow(0)
        sys.stdout.buffer.flush()


def allow(seconds: float) -> None:
    """Let this process use `seconds` of processor time from now on, whatever it has used of an earlier allowance."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def answer(message: bytes, at_once: bool = False) -> None:
    """Write an answer. It reaches the parent at once, or at the latest when the next message is read."""
    sys.stdout.buffer.write(len(message).to_bytes(LENGTH, "big"))
    sys.stdout.buffer.write(message)
    if at_once:
        sys.stdout.buffer.flush()


def _limit_memory(more: int) -> None:
    """Limit the address space, on Linux only: no other system reports how much a process has."""
    state = Path("/proc/self/statm")
    if state.exists():
        pages = int(state.read_text().split()[0])
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))
