"""`dev` through the real door: a daemon to try things with, gone without a trace at Ctrl-C."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest

from tests.support.command_line import COMMAND_TIMEOUT, PROGRAM, Subprocess
from tests.support.eventually import eventually


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


def answer_of(url: str) -> object:
    try:
        with urlopen(url) as answer:  # noqa: S310 - our own address
            return json.load(answer)
    except HTTPError as refusal:
        return json.load(refusal)


async def test_a_first_import_goes_as_the_tutorial_says(dev: Dev) -> None:
    await eventually(lambda: "daemon.started" in dev.logged, "the daemon is up", 60)
    for name in ("MONGO_URL", "REDIS_URL", "S3_ENDPOINT_URL", "SOCKET_URL", "SMTP_URL"):
        assert f"\n{name} " in f"\n{dev.said}"
    (health,) = (line.split()[-1] for line in dev.said.splitlines() if line.startswith("health "))
    await eventually(lambda: answer_of(health) == {"mongodb": "ok", "redis": "ok", "s3": "ok"}, "all servers are up")
    assert "SECRET" not in dev.said.partition("A first import")[0]
    environment, submission = (line for line in dev.said.splitlines() if line.startswith("  "))

    submitted = subprocess.run(  # noqa: ASYNC221
        ["sh", "-c", f"{environment}\n{submission}"],
        env=dev.line.environment, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT,
    )  # fmt: skip
    assert submitted.returncode == 0, submitted.stderr
    assert "No daemon runs" not in submitted.stderr
    variables = Path(shlex.split(environment.split(";")[1])[1]).read_text()  # noqa: ASYNC240
    settings = dict(word.split("=", 1) for word in shlex.split(variables))
    watched = dev.line("imports", "watch", submitted.stdout.strip(), **settings)
    assert watched.returncode == 0, watched.stderr
    assert "completed; 1,988 rows added, 12 failed" in watched.stdout


@pytest.mark.parametrize("polite", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
async def test_asked_to_stop_it_stops_daemon_and_servers_in_order(
    dev: Dev, tmp_path: Path, polite: signal.Signals
) -> None:
    await eventually(lambda: "daemon.started" in dev.logged, "the daemon is up", 60)
    family = psutil.Process(dev.process.pid).children(recursive=True)
    assert len(family) >= 5  # the daemon, the keeper and its servers
    dev.process.send_signal(polite)

    assert dev.process.wait(COMMAND_TIMEOUT) == 0
    await eventually(lambda: not any(process.is_running() for process in family), "all are gone", 60)
    assert f'"signal": "{signal.SIGTERM.name}"' in dev.logged
    assert list((tmp_path / "own").iterdir()) == []


async def test_killed_outright_it_takes_daemon_and_servers_with_it(dev: Dev, tmp_path: Path) -> None:
    await eventually(lambda: "daemon.started" in dev.logged, "the daemon is up", 60)
    family = psutil.Process(dev.process.pid).children(recursive=True)

    dev.process.kill()

    await eventually(lambda: not any(map(_runs, family)), "all are gone", 60)
    await eventually(lambda: list((tmp_path / "own").iterdir()) == [], "the folder is empty", 60)


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != "zombie"
