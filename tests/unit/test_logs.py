from __future__ import annotations

import json
import logging
import re
import time
from typing import Any

import structlog

from pipeline_engine import logs
from tests.unit.conftest import Style, Written


def one(text: str) -> dict[str, Any]:
    (line,) = text.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


# Whole events


def test_an_event_is_one_json_line_with_its_context(written: Written) -> None:
    logs.configure("INFO", "json")
    structlog.contextvars.bind_contextvars(lane="deals.import")
    logs.get("engine").info("job.done", job_id="j1", ms=12.5, ok=True, ids=["a", "b"], nothing=None)
    found = one(written())
    moment = found.pop("timestamp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", moment)
    assert found == {
        "event": "job.done",
        "level": "info",
        "logger": "engine",
        "lane": "deals.import",
        "job_id": "j1",
        "ms": 12.5,
        "ok": True,
        "ids": ["a", "b"],
        "nothing": None,
    }


def test_levels_below_the_one_set_are_not_written(written: Written) -> None:
    logs.configure("WARNING", "json")
    logs.get("engine").info("not this")
    logging.getLogger("library").info("nor this")
    logs.get("engine").warning("this")
    assert one(written())["event"] == "this"


def test_talkative_libraries_are_quiet_below_warning(written: Written) -> None:
    logs.configure("DEBUG", "json")
    for name in (
        "botocore.auth",
        "aiobotocore.httpsession",
        "arq.worker",
        "socketio",
        "engineio.client",
        "pymongo.command",
    ):
        logging.getLogger(name).info("request with everything in it")
    assert written() == ""


def test_a_fencing_token_is_a_number_and_stays(written: Written) -> None:
    logs.configure("INFO", "json")
    logs.get("engine").info("claimed", token=7, tokens_left=3, pin_password=1234)
    found = one(written())
    assert (found["token"], found["tokens_left"], found["pin_password"]) == (7, 3, "***")


def test_large_and_deep_values_are_cut(written: Written) -> None:
    logs.configure("INFO", "json")
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    bushy: Any = "leaf"
    for _ in range(6):
        bushy = [bushy] * 1000
    many, wide = list(range(1_000_000)), {str(number): "v" * 3000 for number in range(60)}
    started = time.process_time()
    logs.get("engine").info("x", many=many, deep=deep, wide=wide, bushy=bushy)
    assert time.process_time() - started < 0.5
    line = written()
    assert len(line) < 8000
    found = one(line)
    assert found["many"].endswith("of 1000000")
    assert "bottom" not in line


def test_an_exception_is_one_line_in_json_and_marked_lines_on_a_console(written: Written) -> None:
    for style in ("json", "console"):
        logs.configure("INFO", style)
        try:
            raise ValueError("first\n2026-01-01 [info] forged")
        except ValueError:
            logs.get(f"engine.{style}").exception("failed")
        lines = written().splitlines()
        if style == "json":
            assert "ValueError: first\\n2026" in json.loads(lines[0])["exception"]
            assert len(lines) == 1
        else:
            assert len(lines) > 3
            assert all(line.startswith("    | ") or "Traceback" in line or "failed" in line for line in lines)


def test_a_record_that_cannot_be_formatted_shows_nothing_of_its_arguments(written: Written, style: Style) -> None:
    logs.configure("INFO", style)
    logging.getLogger("library").warning("%d pieces", "hunter2")
    assert "hunter2" not in written()
