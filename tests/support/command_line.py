"""The command line, as another process and, for the many small cases, in this one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Protocol

import pytest

from pipeline_engine import logs
from pipeline_engine.__main__ import main
from pipeline_engine.settings import Settings

PROGRAM = [sys.executable, "-m", "pipeline_engine"]
COMMAND_TIMEOUT = 180.0
"""Seconds that a command may take on a busy machine."""
Ran = subprocess.CompletedProcess[str]


class CommandLine(Protocol):
    """Runs a command to its end; `changes` are variables for this one."""

    @property
    def environment(self) -> Mapping[str, str]: ...

    def __call__(self, *words: object, **changes: str) -> Ran: ...


class Subprocess:
    """The real door. A command finds nothing in its environment but these settings, and no `.env`."""

    def __init__(self, settings: Mapping[str, str], folder: Path, program: str = "pipeline_engine") -> None:
        self._folder = folder
        self._program = [sys.executable, "-m", program]
        # HOME and TMPDIR, so that whatever a command leaves behind is found there.
        self.environment: Mapping[str, str] = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            **settings,
        }

    def __call__(self, *words: object, **changes: str) -> Ran:
        return subprocess.run(
            [*self._program, *map(str, words)],
            env={**self.environment, **changes},
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )


class InProcess:
    """The same without the second that Python takes to start and import everything."""

    def __init__(self, settings: Mapping[str, str], folder: Path) -> None:
        self.environment: Mapping[str, str] = dict(settings)
        self._folder = folder

    def __call__(self, *words: object, **changes: str) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        command = ["pipeline_engine", *map(str, words)]
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self._folder)
            patch.setattr(sys, "argv", command)
            patch.setattr(logs, "configure", lambda *_: None)  # the logs belong to the whole test run
            for name in Settings.model_fields:
                patch.delenv(name.upper(), raising=False)
            for name, value in {**self.environment, **changes}.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as left:
                main()
        return Ran(command, int(left.value.code or 0), out.getvalue(), err.getvalue())
