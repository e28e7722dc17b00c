"""The private folder with the servers' data. One keeper at a time uses it."""

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
    """Yield the named folder, which stays, or a temporary one, which is removed at the end.

    Raises: ConfigError when the folder holds other files or another keeper uses it.
    """
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
    # The mode of the folder is changed below, which must not happen to /tmp or a home folder named by mistake.
    if folder.exists() and not (folder / LOCK).exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} holds other things; name an empty or a new folder for the servers' data.")
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
