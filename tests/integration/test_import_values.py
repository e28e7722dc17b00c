"""A real import gives typed values, says what was uncertain, and reads every chunk as the first run decided."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import ObjectId

from tests.integration.conftest import RunImports
from tests.support.world import World

CLOSE, RANK, SIZE, FOREIGN = ObjectId(), ObjectId(), ObjectId(), ObjectId()
MAPPINGS = {
    "Geschäft": "name",
    "Betrag": "value",
    "Phase": "stage_id",
    "Mail": "contact_email",
    "Telefon": "contact_phone",
    "Abschluss": str(CLOSE),
    "Rang": str(RANK),
    "Größe": str(SIZE),
}
FILE = """\
Geschäft;Betrag;Phase;Mail;Telefon;Abschluss;Rang;Größe
Dach;1.234,50 €;Neu;Ada@Example.com;030 23125010;03.04.2026 14:30;gold;1.500
Tor;2.000;Neu;b@example.com; c@example.com;;45123;;
Zaun;12abc;Neu;;;;;
Hof;;Neu;;;31.02.2026;;
Weg;-5,00;Neu;;;;Bronze;
"""


@pytest.mark.covers("DI-X14")
async def test_values_are_typed_by_field_and_declared_type(world: World, run_imports: RunImports) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"country": "DE", "timezone": "Europe/Berlin"}})
    world.db["custom_fields"].insert_many(
        [
            {"_id": CLOSE, "account_id": world.account, "type": "datetime"},
            {"_id": RANK, "account_id": str(world.account), "type": "choice", "options": ["Gold", "Silber"]},
            {"_id": SIZE, "account_id": world.account, "type": "number"},
        ]
    )
    queue_id = world.submit(FILE.replace("b@example.com; c@example.com", '"b@example.com; c@example.com"'), MAPPINGS)

    await run_imports()

    roof, gate = world.deals_of(queue_id)
    assert (roof["value"], roof["contact_email"], roof["contact_phone"]) == (1234.5, "ada@example.com", "+493023125010")
    assert roof["additional_info"] == {
        str(CLOSE): datetime(2026, 4, 3, 12, 30, tzinfo=UTC),
        str(RANK): "Gold",
        str(SIZE): 1500.0,
    }
    assert (gate["value"], gate["contact_email"], gate["contact_phone"]) == (2000.0, "b@example.com", "")
    assert gate["additional_info"] == {str(CLOSE): datetime(2023, 7, 15, 22, tzinfo=UTC)}
    report = world.report_of(queue_id)
    assert [(error["position"], error["column"], error["code"]) for error in report["logs"]] == [
        (3, "Betrag", "not_a_number"),
        (4, "Abschluss", "not_a_date"),
        (5, "Rang", "not_an_option"),
    ]
    assert report["logs"][0]["additional_info"] == "'12abc' is not a number"
    size, mails = report["warnings"]
    assert "'Größe' has only numbers such as '1.500'" in size
    assert "'Mail': 1 rows have several e-mail addresses" in mails
    chunk = world.db["import_chunks"].find_one({"queue_id": queue_id})
    assert chunk
    assert chunk["value"] == {"sum": 3234.5, "deals": 2}
    assert world.import_of(queue_id)["plan"]["values"]["columns"]["value"] == {
        "type": "number",
        "mark": ",",
        "credit": "+",
    }


async def test_later_chunks_keep_what_the_first_run_decided(world: World, run_imports: RunImports) -> None:
    body = "name,value\n" + "".join(f"Deal,{'1,234.50' if n < 9 else '1,500'}\n" for n in range(1200))
    queue_id = world.submit(body.replace("1,", '"1,').replace("0\n", '0"\n'), {"name": "name", "value": "value"})

    await run_imports()

    assert {deal["value"] for deal in world.deals_of(queue_id)} == {1234.5, 1500.0}
    assert world.report_of(queue_id)["warnings"] == []
