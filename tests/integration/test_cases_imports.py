"""The situations of tests/cases that speak of imports, after public bug reports, come out as a user expects.

27 and 31 stand where the automations of that import are tested: tests/faults/test_cases_daemon.py and
test_cases_automations.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pipeline_engine import settings
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.embedded.smtp_sink import SmtpSink
from pipeline_engine.run_once import run_once
from tests.integration.conftest import RunImports
from tests.support.cases import data, oid, plant, read
from tests.support.import_cases import check_run
from tests.support.world import SAMPLE, World

CASES = (
    "01-sep-line",
    "02-excel-text-guard",
    "03-nbsp-amounts",
    "04-header-cells",
    "05-dotted-headers",
    "06-partial-numbers",
    "07-comma-only-rows",
    "09-long-ids",
    "11-phones",
    "13-na-words",
    "17-accounting-signs",
    "18-trailing-comma",
    "21-dates-kept",
)
ANYWHERE = ("02-excel-text-guard", "03-nbsp-amounts", "06-partial-numbers", "17-accounting-signs")
"""Cases that hold as well in an account whose country writes otherwise than the file."""


def _runs() -> Iterator[Any]:
    for case in CASES:
        for place in range(len(read(case)["runs"])):
            for country in (None, "US") if case in ANYWHERE else (None,):
                yield pytest.param(case, place, country, id=f"{case}-{place + 1}-{country}")


@pytest.mark.covers("DI-20", "DI-X12", "DI-X14")
@pytest.mark.parametrize(("case", "place", "country"), list(_runs()))
async def test_a_case_comes_out_as_expected(
    case: str, place: int, country: str | None, world: World, run_imports: RunImports
) -> None:
    run = read(case)["runs"][place]
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"country": country}})
    queue_id = world.submit(data(case, run["file"]), run["mappings"], options=run.get("additional_data", {}))

    await run_imports()

    check_run(world, queue_id, run)


async def test_19_an_import_set_back_doubles_nothing(world: World, run_imports: RunImports) -> None:
    first, again, _, repeated = read("19-same-file-again")["runs"]
    queue_id = world.submit(data("19-same-file-again", first["file"]), first["mappings"])
    for run in (first, again):
        await run_imports()
        check_run(world, queue_id, {**run, "dialect": {}})
        assert world.db["deals"].count_documents({}) == run["deals_in_account"]
        world.db["queues"].update_one({"_id": queue_id}, {"$set": {"status": "pending"}})
    await run_imports()
    assert world.db["csv_imports"].count_documents({}) == 1

    other = world.submit(data("19-same-file-again", repeated["file"]), repeated["mappings"])
    await run_imports()
    check_run(world, other, repeated)
    (warning,) = (one for one in world.import_of(other)["plan"]["warnings"] if "imported before" in one)
    assert str(queue_id) in warning


async def test_19_rows_that_are_in_are_skipped_when_asked(world: World, run_imports: RunImports) -> None:
    first, _, second, _ = read("19-same-file-again")["runs"]
    for run in (first, second):
        queue_id = world.submit(
            data("19-same-file-again", run["file"]), run["mappings"], options=run.get("additional_data", {})
        )
        await run_imports()
        check_run(world, queue_id, run)
        assert world.db["deals"].count_documents({}) == run["deals_in_account"]


async def test_20_a_column_of_tags_is_refused_by_name(world: World, run_imports: RunImports) -> None:
    (run,) = read("20-tags-and-source")["runs"]
    queue_id = world.submit(data("20-tags-and-source", run["file"]), run["mappings"], options=run["additional_data"])

    await run_imports()

    queue = world.import_of(queue_id)
    (expected,) = (one for one in run["either"] if one["queue"]["status"] == "failed")
    assert (queue["status"], queue["attempts"]) == ("failed", expected["queue"]["attempts"])
    assert any(name in queue["error"] for name in expected["error_names"])
    assert world.db["deals"].count_documents({}) == 0


@pytest.mark.parametrize("place", range(3))
async def test_25_a_dry_run_sends_nothing(place: int, world: World, environment: dict[str, str]) -> None:
    case = "25-dry-run-sends-nothing"
    expected = read(case)
    run = expected["runs"][place]
    plant(case, world.db)
    stages = world.db["pipeline_stages"].count_documents({})
    sink = SmtpSink()
    await sink.start()
    try:
        configured = settings.from_environment({**environment, **sink.environment()})
        queue_id = world.submit(
            data(case, "deals.csv"),
            expected["mappings"],
            account_id=oid("a"),
            user_id=oid("b"),
            additional_data={"pipeline_id": oid("1a"), **run["additional_data"]},
        )
        await run_once(configured, ["deals.import", "deals.automations"])

        assert world.import_of(queue_id)["status"] == "completed", world.import_of(queue_id).get("error")
        assert world.db["deals"].count_documents({}) == run["deals"]
        assert world.db["notes"].count_documents({}) == run["notes"]
        assert len(await Sink(sink.environment()["SMTP_SINK_URL"]).records()) == run["mails"]
    finally:
        await sink.stop()
    if "progress" in run:
        progress = world.import_of(queue_id)["progress"]
        assert {name: progress[name] for name in run["progress"]} == run["progress"]
        assert world.db["pipeline_stages"].count_documents({}) == stages + run["new_stages"]
        outlook = " ".join(world.report_of(queue_id)["outlook"])
        assert "Brand new stage" in outlook
        assert f"2 deals would get automation {oid('e', 1)}" in outlook
    if "deals_with_automation_starts" in run:
        assert world.db["deals"].count_documents({"automation_starts": {"$exists": True}}) == 0


@pytest.mark.parametrize("rows", [1, 500])
async def test_of_rows_that_equal_each_other_the_first_becomes_the_deal(
    rows: int, world: World, run_imports: RunImports
) -> None:
    mappings = {"Deal": "name", "Stage": "stage_id", "Mail": "contact_email"}
    body = "Deal,Stage,Mail\n" + "".join(f"Deal {n},won,{'AB'[n % 2]}{n // 3}@x.example\n" for n in range(30))
    body += "One,won,\nTwo,won,\n" + body.partition("\n")[2].lower()
    duplicates = {"by": ["contact_email"], "policy": "skip"}
    queue_id = world.submit(body, mappings, options={"duplicates": duplicates})

    await run_imports(import_chunk_rows=rows)

    firsts = {f"{'AB'[n % 2]}{n // 3}": f"Deal {n}" for n in reversed(range(30))}
    assert {deal["name"] for deal in world.deals_of(queue_id)} == {*firsts.values(), "One", "Two"}
    assert world.import_of(queue_id)["progress"]["rows_skipped"] == 62 - len(firsts) - 2


@pytest.mark.parametrize(
    ("duplicates", "named"),
    [
        ({"by": ["contact_email"], "policy": "update"}, "update"),
        ({"by": [], "policy": "skip"}, "by"),
        ({"by": ["owner"], "policy": "skip"}, "owner"),
        ({"by": ["contact_phone"], "policy": "skip"}, "contact_phone"),
        ({"policy": "skip"}, "by"),
    ],
)
async def test_duplicates_that_cannot_be_found_refuse_the_import(
    duplicates: object, named: str, world: World, run_imports: RunImports
) -> None:
    mappings = {"Deal Name": "name", "Stage": "stage_id", "Contact Email": "contact_email"}
    queue_id = world.submit(SAMPLE, mappings, options={"duplicates": duplicates})

    await run_imports()

    queue = world.import_of(queue_id)
    assert queue["status"] == "failed"
    assert "additional_data.duplicates" in queue["error"]
    assert named in queue["error"]
