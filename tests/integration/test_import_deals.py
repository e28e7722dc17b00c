"""What a row becomes: the fields of its deal, and nothing that a file could smuggle in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from tests.integration.conftest import RunImports
from tests.support.world import SAMPLE, World

CUSTOM, OTHER_CUSTOM = ObjectId(), ObjectId()


@pytest.mark.covers("DI-10", "DI-13", "DI-17", "DI-21", "DI-X6")
async def test_a_deal_has_these_fields_and_no_others(world: World, run_imports: RunImports) -> None:
    mappings = {"Deal": "name", "Value": "value", "Status": "status", "Mail": "contact_email", "Size": str(CUSTOM)}
    queue_id = world.submit("Deal,Value,Status,Mail,Size\nAcme,5000,Open,a@acme.com,XL\n", mappings)

    await run_imports()

    (deal,) = world.deals_of(queue_id)
    times = [deal.pop(name) for name in ("createdAt", "updatedAt", "automation_starts")]
    assert all(datetime.now(UTC) - timedelta(minutes=1) < time < datetime.now(UTC) for time in times)
    assert deal.pop("_id").generation_time == queue_id.generation_time
    assert deal == {
        "name": "Acme",
        "value": 5000.0,
        "status": "open",
        "contact_email": "a@acme.com",
        "additional_info": {str(CUSTOM): "XL"},
        "account_id": world.account,
        "pipeline_id": world.pipeline,
        "created_by": world.user,
        "owner": world.user,
        "followers": [],
        "tags": ["test"],
        "source": "csv",
        "automation_triggered": [],
        "skip_automations": [],
        "retry_automations": [],
        "import_id": queue_id,
        "import_row": 1,
    }


@pytest.mark.covers("DI-12", "DI-X12")
async def test_an_empty_cell_is_no_number_and_an_empty_text_and_zero_stays_zero(
    world: World, run_imports: RunImports
) -> None:
    mappings = {"Deal": "name", "Value": "value", "A": str(CUSTOM), "B": str(OTHER_CUSTOM)}
    queue_id = world.submit("Deal,Value,A,B\nOne,0,0,\nTwo,,,false\n", mappings)

    await run_imports()

    one, two = world.deals_of(queue_id)
    assert (one["value"], one["additional_info"]) == (0.0, {str(CUSTOM): "0", str(OTHER_CUSTOM): ""})
    assert ("value" in two, two["additional_info"]) == (False, {str(CUSTOM): "", str(OTHER_CUSTOM): "false"})


async def test_a_mapped_column_that_the_file_lacks_becomes_empty_text_and_a_warning(
    world: World, run_imports: RunImports
) -> None:
    queue_id = world.submit("Deal\nOne\n", {"Deal": "name", "Phone": "contact_phone"})

    await run_imports()

    assert [deal["contact_phone"] for deal in world.deals_of(queue_id)] == [""]
    assert "'Phone'" in " ".join(world.report_of(queue_id)["warnings"])


@pytest.mark.covers("DI-15", "DI-X9")
@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("Closed - Won", "closed___won"),
        ("in-progress-since-May", "in_progress_since_may"),
        (" Open ", "open"),
        ("Month To-Month", "month_to_month"),
        ("", ""),
    ],
)
async def test_status_and_contract_type_lose_every_blank_and_dash(
    world: World, run_imports: RunImports, cell: str, value: str
) -> None:
    mappings = {"Deal": "name", "Status": "status", "Contract": "contract_type"}
    queue_id = world.submit(f"Deal,Status,Contract\nD,{cell},{cell}\n", mappings)

    await run_imports()

    (deal,) = world.deals_of(queue_id)
    assert (deal["status"], deal["contract_type"]) == (value, value)


async def test_text_that_looks_like_an_operator_or_a_number_stays_text(world: World, run_imports: RunImports) -> None:
    cells = ['{"$ne":null}', "$where", "9e999", "NaN", "-0", "9223372036854775808", "[" * 181 + "]" * 181]
    body = "name|person\n" + "".join(f"n|{cell}\n" for cell in cells)
    queue_id = world.submit(body, {"name": "name", "person": "contact_name"}, options={"delimiter": "|"})

    await run_imports()

    assert [deal["contact_name"] for deal in world.deals_of(queue_id)] == cells


@pytest.mark.covers("DI-20")
async def test_automations_may_be_left_out(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(SAMPLE, options={"automations": "skip"})

    await run_imports()

    assert all("automation_starts" not in deal for deal in world.deals_of(queue_id))


@pytest.mark.covers("DI-13")
@pytest.mark.parametrize("tags", [None, [], ["imported", "q4-2025"]])
async def test_every_deal_gets_the_tags_of_the_import(
    world: World, run_imports: RunImports, tags: list[str] | None
) -> None:
    queue_id = world.submit(SAMPLE, options={"tags": tags})

    await run_imports()

    assert [deal["tags"] for deal in world.deals_of(queue_id)] == [tags or []] * 3


async def test_ids_that_the_crm_spelled_as_text_are_stored_as_ids(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(
        SAMPLE,
        account_id=str(world.account),
        user_id=str(world.user),
        options={"pipeline_id": str(world.pipeline)},
    )

    result = await run_imports()

    assert result.succeeded == 1
    deal = world.deals_of(queue_id)[0]
    owners = [deal[name] for name in ("account_id", "pipeline_id", "owner", "created_by")]
    assert owners == [world.account, world.pipeline, world.user, world.user]
    assert world.report_of(queue_id)["account_id"] == world.account
