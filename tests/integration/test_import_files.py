"""Files as they come: whatever their line ends, separators and quotes, their rows become the same deals."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import RunImports
from tests.support.world import World

MAPPINGS = {"Deal Name": "name", "Value": "value", "Stage": "stage_id"}
ROWS = [("Acme", 5000.0, "won"), ("Müller & Söhne", 0.0, "won"), ("Last", -5.0, "lost")]
PLAIN = "Deal Name,Value,Stage\nAcme,5000,won\nMüller & Söhne,0,won\nLast,-5,lost\n"

ALIKE = {
    "lf": PLAIN.encode(),
    "crlf": PLAIN.replace("\n", "\r\n").encode(),
    "cr alone, also at the end": PLAIN.replace("\n", "\r").encode(),
    "mixed line ends": PLAIN.replace("won\n", "won\r\n", 1).replace("lost\n", "lost\r").encode(),
    "no line end at the end": PLAIN.rstrip().encode(),
    "byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "semicolons": PLAIN.replace(",", ";").encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "pipes": PLAIN.replace(",", "|").encode(),
    "quoted": "\n".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) for line in PLAIN.split("\n") if line
    ).encode(),
    "blank lines": PLAIN.replace("\n", "\n\n").encode(),
    "blanks around cells": PLAIN.replace(",", " , ").encode(),
}


@pytest.mark.covers("DI-08", "DI-12", "DI-X12")
@pytest.mark.parametrize("file", ALIKE.values(), ids=ALIKE)
async def test_files_that_say_the_same_give_the_same_deals(world: World, run_imports: RunImports, file: bytes) -> None:
    queue_id = world.submit(file, MAPPINGS)

    await run_imports()

    names = world.stage_names()
    deals = world.deals_of(queue_id)
    assert [(deal["name"], deal["value"], names[deal["stage_id"]]) for deal in deals] == ROWS
    assert [deal["import_row"] for deal in deals] == [1, 2, 3]
    assert world.import_of(queue_id)["status"] == "completed"


OVERRIDES: dict[str, tuple[bytes, dict[str, Any], list[str]]] = {
    "delimiter": (b"a,x;b,x\nOne, Inc.;1,1,1\nTwo, Inc.;2,2,2\n", {"delimiter": ";"}, ["One, Inc.", "Two, Inc."]),
    "encoding": (
        "a,x;b,x\nMüller;1\nŠkoda €;2\n".encode("cp1252"),
        {"encoding": "windows-1252"},
        ["Müller", "Škoda €"],
    ),
}


@pytest.mark.parametrize(("file", "options", "names"), OVERRIDES.values(), ids=OVERRIDES)
async def test_what_the_user_says_of_the_file_wins(
    world: World, run_imports: RunImports, file: bytes, options: dict[str, Any], names: list[str]
) -> None:
    queue_id = world.submit(file, {"a,x": "name"}, options=options)

    await run_imports()

    assert [deal["name"] for deal in world.deals_of(queue_id)] == names


async def test_a_file_without_a_header_is_mapped_by_number(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit("One,1\nTwo,2\n", {"1": "name", "2": "value"}, options={"has_header": False})

    await run_imports()

    assert [(deal["name"], deal["value"]) for deal in world.deals_of(queue_id)] == [("One", 1.0), ("Two", 2.0)]
    assert world.import_of(queue_id)["dialect"]["header_row"] == 0


async def test_what_was_found_out_about_the_file_stands_in_the_queue_document(
    world: World, run_imports: RunImports
) -> None:
    queue_id = world.submit(PLAIN.replace(",", ";"), MAPPINGS)

    await run_imports()

    dialect = world.import_of(queue_id)["dialect"]
    found = {"encoding": "utf-8", "delimiter": ";", "quote": '"', "header_row": 1, "confidence": 1.0}
    assert dialect.items() >= found.items()


@pytest.mark.covers("DI-08", "DI-X13")
async def test_cells_of_several_lines_stay_whole_over_chunks(world: World, run_imports: RunImports) -> None:
    notes = [f'Deal {n}\r\nsays ""hello, {n}""\n' for n in range(40)]
    body = "name,value\n" + "".join(f'"{note}",{n}\n' for n, note in enumerate(notes))
    queue_id = world.submit(body, {"name": "name", "value": "value"})

    await run_imports(import_chunk_rows=7)

    deals = world.deals_of(queue_id)
    assert [deal["name"] for deal in deals] == [note.replace('""', '"').strip() for note in notes]
    assert [deal["value"] for deal in deals] == list(range(40))
    assert world.db["import_chunks"].count_documents({"queue_id": queue_id}) == 6


async def test_line_ends_of_other_scripts_are_ordinary_characters(world: World, run_imports: RunImports) -> None:
    name = "one\u2028two\u0085three\x0bfour"
    queue_id = world.submit(f"name\n{name}\n", {"name": "name"})

    await run_imports()

    assert [deal["name"] for deal in world.deals_of(queue_id)] == [name]


@pytest.mark.covers("DI-26")
async def test_a_file_much_larger_than_what_is_kept_of_it(world: World, run_imports: RunImports) -> None:
    rows = 12_000
    body = "name,value,stage,note\n" + "".join(f"Deal {n},{n},Stage {n % 20},{'x' * 300}\n" for n in range(rows))
    queue_id = world.submit(body, {"name": "name", "value": "value", "stage": "stage_id"})

    result = await run_imports(import_chunks_ahead=2)

    values = [deal["value"] for deal in world.db["deals"].find({"import_id": queue_id}, sort=[("import_row", 1)])]
    assert values == list(range(rows))
    assert world.db["pipeline_stages"].count_documents({}) == 20
    # The seed states two to five seconds for one deal.
    assert result.seconds < rows * 2 / 100
