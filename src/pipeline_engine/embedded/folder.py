"""The folder that holds the servers' data: private, used by one keeper at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline_engine.errors import ConfigError

LOCK = ".embedded.lock"


@contextmanager
def private_folder(named: str | None) -> Iterator[Path]:
    """The named folder, which stays, or a temporary one, which is removed. ConfigError when it is not ours to use."""
    folder = _claimed(Path(named).expanduser().resolve()) if named else _temporary()
    lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        _lock(lock, folder)
        yield folder
    finally:
        os.close(lock)
        if not named:
            shutil.rmtree(folder, ignore_errors=True)


def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="pipeline-engine-"))  # mode 0700


def _claimed(folder: Path) -> Path:
    # The mode of a folder is changed below: nobody wants that for /tmp or a home folder named by mistake.
    if folder.exists() and not (folder / LOCK).exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} holds other things; name an empty folder or a new one for the servers' data.")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def _lock(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode()
        raise ConfigError(f"{folder} is in use by the embedded servers of process {holder}.") from None
    os.truncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
