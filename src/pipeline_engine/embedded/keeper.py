"""The process that owns a group of servers. It ends after the process that started it, once it has cleaned up.

stdin: one line of orders, then nothing until the pipe closes, which means stop. stdout: one line, once all parts are
ready or one has failed. SIGTERM and SIGINT mean stop, too.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from pipeline_engine.embedded.folder import private_folder
from pipeline_engine.embedded.group import Group
from pipeline_engine.embedded.orders import Orders, Ready, read_orders, to_line
from pipeline_engine.errors import EngineError

STOP_TIMEOUT = 20.0  # for a server to close its files, if they are kept
SETTINGS_FILE = "servers.env"


def main() -> int:
    """Run the servers until the stop. Returns the exit code: 0, or 1 when they could not be started."""
    return asyncio.run(_main())


async def _main() -> int:
    pipe = await _stdin()
    service = asyncio.create_task(_serve(read_orders(await pipe.readline())))

    def stop(*_: object) -> None:
        if not service.cancelling():  # a second cancellation would interrupt the clean-up
            service.cancel()

    closed = asyncio.create_task(pipe.read())
    closed.add_done_callback(stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await service
    except EngineError as error:
        _answer(to_line(error))
        return 1
    except asyncio.CancelledError:
        pass
    return 0


async def _serve(orders: Orders) -> None:
    with private_folder(orders.folder) as folder:
        group = Group(orders, folder)
        try:
            environment = await group.start()
            _write(folder / SETTINGS_FILE, environment)
            _answer(to_line(Ready(str(folder), environment)))
            await asyncio.Event().wait()  # until cancelled
        finally:
            await group.stop(STOP_TIMEOUT if orders.folder else 0)


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _answer(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _write(file: Path, environment: dict[str, str]) -> None:
    # For a second terminal: `set -a; . servers.env`.
    file.write_text("".join(f"{name}='{value}'\n" for name, value in environment.items()))
