"""The process that renders templates: `python -I -m pipeline_engine.providers.template_process`.

It reads batches and writes one answer per context, as msgpack. A batch may use 1 s of processor time, then the kernel
ends the process, and 64 MB more memory than the process has, then that text fails. Its environment is empty.
"""

from __future__ import annotations

import msgspec

from pipeline_engine.providers.child_work import answer, messages
from pipeline_engine.providers.rendering import Batch, fill

MAX_CPU_SECONDS = 1.0
MAX_MEMORY_BYTES = 64 * 1024 * 1024


def main() -> None:
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(Batch).decode
    for message in messages(MAX_CPU_SECONDS, MAX_MEMORY_BYTES):
        for filled in fill(decode(message)):
            answer(encode(filled))


if __name__ == "__main__":
    main()
