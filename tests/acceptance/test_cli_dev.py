"""`dev` through the real door: a daemon to try things with, gone without a trace at Ctrl-C."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tests.support.command_line import PROGRAM, Subprocess

PATIENCE = 30.0


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


class Dev:
    """A running `dev`, whose output goes to files."""

    def __init__(self, folder: Path, own: Path) -> None:
        self.line = Subprocess({}, own)
        self._said, self._logged = folder / "said", folder / "logged"
        with self._said.open("wb") as said, self._logged.open("wb") as logged:
            self.process = subprocess.Popen(
                [*PROGRAM, "dev"], env=self.line.environment, cwd=own, stdout=said, stderr=logged
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    @property
    def logged(self) -> str:
        return self._logged.read_text()


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    own = tmp_path / "own"
    own.mkdir()
    running = Dev(tmp_path, own)
    yield running
    running.process.kill()
    running.process.wait()


def test_a_first_import_goes_as_it_is_told(dev: Dev) -> None:
    wait_for(lambda: "daemon.started" in dev.logged)
    for name in ("MONGO_URL", "REDIS_URL", "S3_ENDPOINT_URL", "SOCKET_URL", "SMTP_URL"):
        assert f"\n{name} " in f"\n{dev.said}"
    (health,) = (line.split()[-1] for line in dev.said.splitlines() if line.startswith("health "))
    with urlopen(health) as answer:  # noqa: S310 - our own address
        assert json.load(answer) == {"mongodb": "ok", "redis": "ok", "s3": "ok"}
    assert "SECRET" not in dev.said.partition("A first import")[0]
    environment, submission = (line for line in dev.said.splitlines() if line.startswith("  "))

    told = subprocess.run(
        ["sh", "-c", f"{environment}\n{submission}"],
        env=dev.line.environment, capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert "No daemon runs" not in told.stderr
    variables = Path(shlex.split(environment.split(";")[1])[1]).read_text()
    settings = dict(word.split("=", 1) for word in shlex.split(variables))
    watched = dev.line("imports", "watch", told.stdout.strip(), **settings)
    assert watched.returncode == 0, watched.stderr
    assert "completed; 1,988 rows added, 12 failed" in watched.stdout


@pytest.mark.parametrize("polite", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_stops_daemon_and_servers_in_order(dev: Dev, tmp_path: Path, polite: signal.Signals) -> None:
    wait_for(lambda: "daemon.started" in dev.logged)
    family = psutil.Process(dev.process.pid).children(recursive=True)
    assert len(family) >= 5  # the daemon, the keeper and its servers
    dev.process.send_signal(polite)

    assert dev.process.wait(PATIENCE) == 0
    wait_for(lambda: not any(process.is_running() for process in family))
    assert f'"signal": "{signal.SIGTERM.name}"' in dev.logged
    assert list((tmp_path / "own").iterdir()) == []


def test_killed_outright_it_takes_daemon_and_servers_with_it(dev: Dev, tmp_path: Path) -> None:
    wait_for(lambda: "daemon.started" in dev.logged)
    family = psutil.Process(dev.process.pid).children(recursive=True)

    dev.process.kill()

    wait_for(lambda: not any(process.is_running() and process.status() != "zombie" for process in family))
    wait_for(lambda: list((tmp_path / "own").iterdir()) == [])
