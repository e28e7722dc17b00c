"""Files with other encodings, stray quotes and empty rows through a whole import: every row is accounted for."""

from __future__ import annotations

import pytest

from tests.integration.conftest import RunImports
from tests.support.world import World

MAPPINGS = {"Deal": "name", "Stage": "stage_id", "Note": "contact_name"}
HEAD = "Deal\tStage\tNote\n"


async def test_utf_16_is_cut_into_chunks_by_the_bytes_of_the_file(world: World, run_imports: RunImports) -> None:
    body = HEAD + "".join(f'Žofie {n} 😀\twon\t"日本\n{n}"\n' for n in range(50))
    data = b"\xff\xfe" + body.encode("utf-16-le")
    queue_id = world.submit(data, MAPPINGS)

    await run_imports(import_chunk_rows=7)

    deals = world.deals_of(queue_id)
    assert [(deal["name"], deal["contact_name"]) for deal in deals] == [
        (f"Žofie {n} 😀", f"日本\n{n}") for n in range(50)
    ]
    assert world.import_of(queue_id)["progress"]["bytes_read"] == len(data)


async def test_a_stray_quote_costs_no_row(world: World, run_imports: RunImports) -> None:
    rows = [f"Deal {n}\twon\tx" for n in range(40)]
    rows[3], rows[30] = 'Deal 3\twon\t"unclosed', 'Deal 30\twon\t"quoted"'
    queue_id = world.submit(HEAD + "\n".join([*rows, "\t\t", " \t\t", ""]), MAPPINGS)

    await run_imports(import_chunk_rows=9)

    deals = world.deals_of(queue_id)
    assert [deal["name"] for deal in deals] == [f"Deal {n}" for n in range(40)]
    assert deals[3]["contact_name"] == '"unclosed'
    progress = world.import_of(queue_id)["progress"]
    assert (progress["rows_read"], progress["rows_added"], progress["rows_skipped"]) == (42, 40, 2)


@pytest.mark.parametrize(
    ("encoding", "last"), [("cp1252", "Société Générale"), ("utf-8", "Žofie"), ("cp932", "山田商店")]
)
async def test_the_first_accent_behind_the_sample_decides_the_encoding(
    world: World, run_imports: RunImports, encoding: str, last: str
) -> None:
    names = [f"Deal number {n} of a long list" for n in range(2_000)]
    names[1_900] = last
    body = "".join(f"{name}\twon\tx\n" for name in names)
    assert len(body) > 64 * 1024
    queue_id = world.submit((HEAD + body).encode(encoding), MAPPINGS)

    await run_imports(import_chunk_rows=100)

    assert [deal["name"] for deal in world.deals_of(queue_id)] == names
    queue = world.import_of(queue_id)
    assert queue["progress"]["rows_failed"] == 0
    assert queue["dialect"]["encoding"] == encoding


async def test_bytes_that_are_no_text_at_all_cost_their_row_alone(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(HEAD.encode() + b"Oar\twon\tx\nBolt \xff\xfe\twon\tx\nNut\twon\tx\n", MAPPINGS)

    await run_imports()

    assert [deal["name"] for deal in world.deals_of(queue_id)] == ["Oar", "Nut"]
    assert world.import_of(queue_id)["progress"]["rows_failed"] == 1


async def test_an_import_with_doubtful_rows_says_so_at_its_end(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(HEAD + 'A\twon\t"a\nb\tb\tb\nc\tc\tc"\nD\twon\tx\n', MAPPINGS)

    await run_imports()

    queue = world.import_of(queue_id)
    assert [deal["name"] for deal in world.deals_of(queue_id)] == ["D"]
    assert queue["status"] == "completed"
    assert queue["error"].startswith("some rows may be missing: 1 row that a stray quote makes doubtful, line 2: ")
    assert world.report_of(queue_id)["error"] == queue["error"]
