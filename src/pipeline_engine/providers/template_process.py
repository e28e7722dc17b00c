"""The process in which templates are filled in: `python -I -m pipeline_engine.providers.template_process`.

Reads batches from its standard input and writes one answer per context to its standard output, each a length of four
bytes and a msgpack message. A batch may use 1 s of processor time, then the kernel ends the process; and 64 MB more
memory than the process had, then that text fails. It can neither write files nor start programs, and its environment is
empty.
"""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from pipeline_engine.providers.rendering import Batch, fill

SECONDS = 1.0
BYTES = 64 * 1024 * 1024
LENGTH = 4


def main() -> None:
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    answers, encode = sys.stdout.buffer, msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(Batch).decode
    for message in _messages(sys.stdin.buffer):
        _limit_memory()
        # Nothing handles the signal, so no loop in C or in Python outlives it.
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        for filled in fill(decode(message)):
            answer = encode(filled)
            answers.write(len(answer).to_bytes(LENGTH, "big") + answer)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.flush()


def _messages(stream: BinaryIO) -> Iterator[bytes]:
    while length := stream.read(LENGTH):
        yield stream.read(int.from_bytes(length, "big"))


def _limit_memory() -> None:
    """Only Linux tells how much address space a process has, and only there the limit is kept."""
    state = Path("/proc/self/statm")
    if state.exists():
        pages = int(state.read_text().split()[0])
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, hard))


if __name__ == "__main__":
    main()
