"""Whatever an operator types, sets, closes or interrupts: a line and an exit code, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import PROGRAM, InProcess, Subprocess

HOSTILE = "x\x1b[2J\x9b31m\u202e\n\udcff"
OUTPUTS = {"closed": ">&-", "full": ">/dev/full", "a pipe without a reader": "| true", "both full": ">/dev/full 2>&1"}


@pytest.mark.parametrize(
    "words",
    [
        [HOSTILE],
        [f"--{HOSTILE}"],
        ["run-once", HOSTILE],
        ["run-once", "deals.import", f"--{HOSTILE}"],
        ["imports", "show", HOSTILE],
        ["imports", "list", "--account", HOSTILE],
        ["imports", "list", "--limit", HOSTILE],
        ["imports", "list", "--limit", "9" * 30],
        ["imports", "list", "--limit", "9" * 5000],
        ["imports", "submit", HOSTILE, "--account", "a", "--user", "b", "--pipeline", "c", "--map", HOSTILE],
        ["dlq", "list", "--limit", "9" * 20],
        ["dlq", "retry", HOSTILE],
        ["queues", "pause", HOSTILE],
        ["queues", "clean", "deals.import", "--state", "failed", "--older-than", "999999d"],
        ["forecast", "automations", "--hours", "nan"],
        ["forecast", "automations", "--hours", "1e400"],
        ["explain", "automation", HOSTILE, "--deal", HOSTILE],
    ],
    ids=lambda words: " ".join(words)[:40].encode("ascii", "backslashreplace").decode(),
)
def test_any_argument_is_answered_by_a_line(inside: InProcess, words: list[str]) -> None:
    done = inside(*words)
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip()
    shown = done.stdout + done.stderr
    assert "Traceback" not in shown
    for character in "\x1b\x9b\u202e":
        assert character not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MONGO_URL", "mongodb://["),
        ("MONGO_URL", "mongodb://host:99999999/crm"),
        ("MONGO_TIMEOUT", "1e400"),
        ("MONGO_TIMEOUT", "9" * 20),
        ("MOTOR_MAX_WORKERS", "9" * 30),
        ("REDIS_URL", "redis://["),
        ("REDIS_URL", "redis://host:port"),
        ("S3_ENDPOINT_URL", "no url"),
        ("SMTP_URL", "http://mail.example"),
        ("SMTP_URL", "smtp://["),
        ("SMTP_FROM", "nobody"),
        ("APP_SECRET", "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----"),
        ("AUTOMATION_LOG_DAYS", "inf"),
        ("IMPORT_SWEEP_SECONDS", "nan"),
        ("IMPORT_MAX_ROWS", "9" * 40),
    ],
)
def test_doctor_refuses_what_run_once_refuses(inside: InProcess, name: str, value: str) -> None:
    refused = inside("run-once", "deals.import", **{name: value})
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    assert name in refused.stderr
    examined = inside("doctor", **{name: value})
    assert examined.returncode == 1
    assert any("fails" in line and name in line for line in examined.stdout.splitlines())


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("command", ["--help", "imports list"])
def test_an_output_that_takes_nothing_is_no_traceback(
    engine: Subprocess, tmp_path: Path, output: str, command: str
) -> None:
    words, given = f"{sys.executable} -m pipeline_engine {command} {output}", dict(engine.environment)
    done = subprocess.run(  # noqa: S602 - the shell closes and redirects
        words, shell=True, env=given, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if "/dev/full" in output:
        assert done.returncode == 1
        assert done.stderr.count("\n") <= 1


@pytest.mark.parametrize("megabytes", [12, 20, 30, 40, 60])
def test_ctrl_c_at_any_moment_leaves_no_traceback(engine: Subprocess, tmp_path: Path, megabytes: int) -> None:
    """The program is interrupted as soon as it occupies so much memory, which grows as it loads and connects."""
    given, pipe = dict(engine.environment), subprocess.PIPE
    program = subprocess.Popen([*PROGRAM, "indexes"], env=given, cwd=tmp_path, stdout=pipe, stderr=pipe)
    while program.poll() is None and _megabytes(program.pid) < megabytes:
        os.sched_yield()
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=30)
    assert b"Traceback" not in said
    assert program.returncode in (0, 130, -signal.SIGINT)


def _megabytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
