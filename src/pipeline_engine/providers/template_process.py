"""The process that renders templates: `python -I -m pipeline_engine.providers.template_process`.

It reads batches. For each it writes, as msgpack, whether the template can be read, and then one answer per context,
each at once, so that the parent knows in which one the kernel ended the process: a context may use as much processor
time as the batch says. With 64 MB more memory than the process has, a text fails. The environment is empty.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from pipeline_engine.providers.child_work import allow, answer, messages
from pipeline_engine.providers.rendering import Batch, Filled, TemplateRefused, fill_one, names_in, read

MAX_CPU_SECONDS = 1.0  # for reading a batch; then the limits of the batch count
MAX_MEMORY_BYTES = 64 * 1024 * 1024


def main() -> None:
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(Batch).decode
    for message in messages(MAX_CPU_SECONDS, MAX_MEMORY_BYTES):
        for filled in _answers(decode(message)):
            answer(encode(filled), at_once=True)


def _answers(batch: Batch) -> Iterator[Filled]:
    allow(batch.seconds)
    if not batch.contexts:
        yield Filled(names=names_in(batch))
        return
    try:
        templates = read(batch)
    except TemplateRefused as refused:
        yield Filled(error=str(refused))
        return
    yield Filled()
    begun = time.process_time()
    for place, context in enumerate(batch.contexts):
        if place and time.process_time() - begun > batch.slice_seconds:
            yield Filled(left=True)
            return
        allow(batch.seconds)
        yield fill_one(templates, context)


if __name__ == "__main__":
    main()
