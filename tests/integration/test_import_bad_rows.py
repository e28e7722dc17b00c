"""Rows that become no deal: each is reported once, with its place, and the others are imported all the same."""

from __future__ import annotations

from typing import Any

import bson
import pytest

from pipeline_engine.domain.imports.coordinator import Coordinator
from tests.integration.conftest import RunImports
from tests.support.said import Said
from tests.support.world import Document, World

MAPPINGS = {"Deal": "name", "Value": "value", "Stage": "stage_id"}
HEAD = b"Deal,Value,Stage\n"
GOOD = b"Good,1,won\n"
DIRTY = b"".join(
    [
        HEAD,
        b'"Acme\nand sons",1,won\n',  # rows 1 and 2 stand on lines 2 to 4
        GOOD,
        b"Short,2\n",
        b"Long,2,won,more\n",
        b"\xff\xfe,2,won\n",
        b"N\0l,2,won\n",
        b"H" * 65_537 + b",2,won\n",
        b"Stageless,2, \n",
        b",2,won\n",
        b'"' + b"m" * 1_100_000 + b'",2,won\n',
        b"Last,3,lost\n",
    ]
)
EXPECTED = [
    # position, line, column, code
    (3, 5, None, "ragged"),
    (4, 6, None, "ragged"),
    (5, 7, None, "encoding"),
    (6, 8, None, "nul"),
    (7, 9, None, "field_too_large"),
    (8, 10, "Stage", "required"),
    (9, 11, "Deal", "required"),
    (10, 12, None, "too_large"),
]


@pytest.fixture
async def dirty(world: World, run_imports: RunImports) -> Document:
    """The queue document of the dirty file after its import, in chunks of three rows."""
    queue_id = world.submit(DIRTY, MAPPINGS, options={"encoding": "utf-8"})
    result = await run_imports(import_chunk_rows=3)
    assert (result.succeeded, result.failed) == (1, 0)
    return world.import_of(queue_id)


@pytest.mark.covers("DI-18", "DI-X13")
async def test_every_bad_row_is_logged_with_its_place(world: World, dirty: Document) -> None:
    report = world.report_of(dirty["_id"])

    assert [(log["position"], log["line"], log["column"], log["code"]) for log in report["logs"]] == EXPECTED
    assert all(log["additional_info"] for log in report["logs"])
    assert [log["message"] for log in report["logs"]] == [
        f"Deal Insertion failed. {log['column'] + ': ' if log['column'] else ''}{log['additional_info']}"
        for log in report["logs"]
    ]
    assert report["logs"][0]["row"] == ["Short", "2"]


@pytest.mark.covers("DI-18", "DI-X10")
async def test_good_rows_between_bad_ones_are_imported_and_the_figures_add_up(world: World, dirty: Document) -> None:
    assert [deal["import_row"] for deal in world.deals_of(dirty["_id"])] == [1, 2, 11]
    report = world.report_of(dirty["_id"])
    assert (report["total_records_added"], report["total_errors"]) == (3, len(EXPECTED))
    assert dirty["status"] == "completed"
    assert dirty["progress"] == {
        "bytes_read": len(DIRTY),
        "bytes_total": len(DIRTY),
        "rows_read": 11,
        "rows_added": 3,
        "rows_updated": 0,
        "rows_skipped": 0,
        "rows_failed": len(EXPECTED),
    }


async def test_the_error_csv_holds_the_rows_as_they_were_and_what_is_wrong(world: World, dirty: Document) -> None:
    rows = world.error_csv_of(dirty["_id"])

    assert list(rows[0]) == ["Deal", "Value", "Stage", "_row", "_line", "_column", "_code", "_message"]
    places = [(int(row["_row"]), int(row["_line"]), row["_column"] or None, row["_code"]) for row in rows]
    assert places == EXPECTED
    assert (rows[0]["Deal"], rows[0]["Value"], rows[0]["Stage"]) == ("Short", "2", "")
    assert rows[1]["Stage"] == "won,more"
    assert dirty["error_csv_key"] == world.report_of(dirty["_id"])["error_csv_key"]


async def test_no_stage_is_made_of_a_bad_row(world: World, dirty: Document) -> None:
    assert sorted(world.stage_names().values()) == ["lost", "won"]


async def test_the_error_csv_corrected_and_mapped_alike_imports_just_those_rows(
    world: World, run_imports: RunImports
) -> None:
    first = world.submit(b"Deal,Value,Stage\nOne,1,\nTwo,2,won\n=Three,3,\n", MAPPINGS)
    await run_imports()
    text = world.download(world.import_of(first)["error_csv_key"]).decode()

    second = world.submit(text.replace('"1",""', '"1","won"').replace('"3",""', '"3","won"'), MAPPINGS)
    await run_imports()

    assert [deal["value"] for deal in world.deals_of(second)] == [1.0, 3.0]


async def test_only_so_many_errors_are_logged_but_the_error_csv_has_all(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(HEAD + b"Nowhere,1,\n" * 50, MAPPINGS)

    await run_imports(import_log_rows=7, import_chunk_rows=4)

    report = world.report_of(queue_id)
    assert [log["position"] for log in report["logs"]] == [1, 2, 3, 4, 5, 6, 7]
    assert report["total_errors"] == 50
    assert [int(row["_row"]) for row in world.error_csv_of(queue_id)] == list(range(1, 51))


@pytest.mark.slow
async def test_a_report_of_wide_rows_stays_a_document(world: World, run_imports: RunImports) -> None:
    columns = ",".join(f"c{n}" for n in range(64))
    wide = "," + ",".join(["😀" * 250] * 63)
    queue_id = world.submit(f"{columns}\n" + f"{wide}\n" * 300, {"c0": "name"})

    await run_imports()

    report = world.report_of(queue_id)
    assert report["total_errors"] == 300
    assert 1 < len(report["logs"]) <= 300
    assert len(bson.encode(report)) < 10 * 1024**2
    assert len(world.error_csv_of(queue_id)) == 300


async def test_a_chunk_full_of_bytes_that_are_no_text_stays_a_document(world: World, run_imports: RunImports) -> None:
    body = HEAD + (b"\xff" * 8_000 + b",1,won\n") * 500
    queue_id = world.submit(body, MAPPINGS, options={"encoding": "utf-8"})

    result = await run_imports()

    assert result.succeeded == 1
    assert world.report_of(queue_id)["total_errors"] == 500


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+49 1", "'+49 1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-5", "-5"),
        ("-5.50", "-5.50"),
        ("plain", "plain"),
    ],
)
async def test_nothing_in_the_error_csv_runs_as_a_formula(
    world: World, run_imports: RunImports, cell: str, shown: str
) -> None:
    queue_id = world.submit(f"Deal,=cmd|x!A1,Stage\nD,{cell},\n", {"Deal": "name", "Stage": "stage_id"})

    await run_imports()

    (row,) = world.error_csv_of(queue_id)
    assert row["'=cmd|x!A1"] == shown


async def test_formula_text_is_stored_as_it_is(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit('Deal\n"=HYPERLINK(""http://x/?"")"\n', {"Deal": "name"})

    await run_imports()

    assert world.deals_of(queue_id)[0]["name"] == '=HYPERLINK("http://x/?")'


@pytest.mark.covers("DI-18")
async def test_a_row_that_the_server_refuses_is_an_error_row(world: World, run_imports: RunImports) -> None:
    rule: dict[str, Any] = {"$jsonSchema": {"properties": {"name": {"pattern": "^[A-Z]"}}}}
    world.demand("deals", rule)
    queue_id = world.submit("name,value\nFine,1\nrefused,2\nFine too,3\n", {"name": "name", "value": "value"})

    await run_imports()

    assert [deal["name"] for deal in world.deals_of(queue_id)] == ["Fine", "Fine too"]
    (log,) = world.report_of(queue_id)["logs"]
    assert (log["position"], log["line"], log["code"]) == (2, 3, "insert_failed")
    assert "validation" in log["additional_info"]
    assert [row["name"] for row in world.error_csv_of(queue_id)] == ["refused"]


async def test_a_unique_index_of_the_crm_makes_an_error_row_and_no_endless_loop(
    world: World, run_imports: RunImports
) -> None:
    world.db["deals"].create_index([("account_id", 1), ("name", 1)], unique=True)
    world.db["deals"].insert_one({"account_id": world.account, "name": "Taken", "secret": "of the other deal"})
    queue_id = world.submit("name\nFree\nTaken\nFree\n", {"name": "name"})

    result = await run_imports()

    assert result.succeeded == 1
    assert [deal["import_row"] for deal in world.deals_of(queue_id)] == [1]
    logs = world.report_of(queue_id)["logs"]
    assert [(log["position"], log["code"]) for log in logs] == [(2, "insert_failed"), (3, "insert_failed")]
    assert logs[0]["additional_info"] == "another deal has the same account_id, name"


async def test_a_file_of_bad_rows_only_completes_with_nothing_added(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(HEAD + b"Bad,1,\n" * 3, MAPPINGS)

    result = await run_imports()

    report = world.report_of(queue_id)
    assert (result.succeeded, result.failed) == (1, 0)
    assert (report["total_records_added"], report["total_errors"]) == (0, 3)
    assert world.import_of(queue_id)["status"] == "completed"
    assert list(world.db["pipeline_stages"].find()) == []


async def test_a_header_and_no_rows_is_a_complete_import(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(HEAD, MAPPINGS)

    await run_imports()

    report = world.report_of(queue_id)
    assert (report["total_records_added"], report["total_errors"], report["logs"]) == (0, 0, [])
    assert report["error_csv_key"] is None
    assert world.import_of(queue_id)["status"] == "completed"
    assert len(world.keys(f"imports/{world.account}/")) == 1


async def test_behind_a_quote_that_never_closes_every_row_is_read(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(HEAD + GOOD * 7 + b'"Never closed,2,won\n' + GOOD * 5, MAPPINGS)

    await run_imports(import_chunk_rows=3)

    deals = world.deals_of(queue_id)
    assert [deal["import_row"] for deal in deals] == list(range(1, 14))
    assert deals[7]["name"] == '"Never closed'
    assert world.import_of(queue_id)["status"] == "completed"


async def test_behind_an_endless_cell_nothing_is_guessed(world: World, run_imports: RunImports) -> None:
    body = HEAD + GOOD * 7 + b'"Never closed\n' + b"text that is no row\n" * 60_000
    queue_id = world.submit(body, MAPPINGS)

    result = await run_imports(import_chunk_rows=3)

    ended = world.import_of(queue_id)
    assert (result.succeeded, result.failed) == (0, 1)
    assert (ended["status"], ended["in_progress"]) == ("failed", False)
    assert "row 8 (line 9)" in ended["error"]
    assert "quote" in ended["error"]
    assert [deal["import_row"] for deal in world.deals_of(queue_id)] == [1, 2, 3, 4, 5, 6, 7]
    report = world.report_of(queue_id)
    assert (report["total_records_added"], report["total_errors"], report["error"]) == (7, 1, ended["error"])
    assert [(log["position"], log["line"], log["code"]) for log in report["logs"]] == [(8, 9, "unclosed")]


@pytest.mark.covers("DI-23")
async def test_no_cell_gets_into_the_log(world: World, run_imports: RunImports, said: Said) -> None:
    world.demand("deals", {"value": {"$ne": 4242.0}})
    body = "name,value,stage\nPrivate Person,4242,won\nPrivate Person,4242\nPrivate Person,1,won\n"
    queue_id = world.submit(body, {"name": "name", "value": "value", "stage": "stage_id"})

    await run_imports()

    assert world.report_of(queue_id)["total_errors"] == 2
    assert str(queue_id) in said()
    assert "Private Person" not in said()
    assert "4242" not in said()


@pytest.mark.covers("DI-23")
async def test_no_message_of_a_foreign_exception_gets_into_the_log(
    world: World, run_imports: RunImports, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Coordinator) -> None:
        raise ValueError("Private Person")

    monkeypatch.setattr(Coordinator, "run", fail)
    queue_id = world.submit("name\nPrivate Person\n", {"name": "name"})

    await run_imports(import_attempts=1)

    assert "Private Person" in world.import_of(queue_id)["error"]
    assert "import.ended" in said()
    assert "Private Person" not in said()
