"""A row becomes one deal, under an id that a repeat makes again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId, encode

from pipeline_engine.domain.imports.csv.row import Row
from pipeline_engine.domain.imports.deal import DealMaker, deal_id

IMPORT = ObjectId("65a1b2c3d4e5f60718293a4b")
ACCOUNT, USER, PIPELINE, QUALIFIED = ObjectId(), ObjectId(), ObjectId(), ObjectId()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CUSTOM = "507f1f77bcf86cd799439011"
FIELDS = {"name": "Acme", "value": "5000", "status": "open", "additional_info": {CUSTOM: "x"}}


def _maker(*, automations: bool = True) -> DealMaker:
    return DealMaker(
        import_id=IMPORT,
        account_id=ACCOUNT,
        user_id=USER,
        pipeline_id=PIPELINE,
        tags=["imported", "q4-2025"],
        automations=automations,
    )


def _row(row: int = 7, stage: str = "qualified") -> Row:
    return Row(row, row + 1, dict(FIELDS), stage, [])


@pytest.mark.covers("DI-13", "DI-17")
def test_a_deal_has_the_fields_of_the_row_the_user_and_the_import() -> None:
    (deal,) = _maker().deals([_row()], {"qualified": QUALIFIED}, NOW)
    assert deal == {
        "_id": deal_id(IMPORT, 7),
        **FIELDS,
        "account_id": ACCOUNT,
        "pipeline_id": PIPELINE,
        "stage_id": QUALIFIED,
        "created_by": USER,
        "owner": USER,
        "followers": [],
        "tags": ["imported", "q4-2025"],
        "source": "csv",
        "automation_starts": NOW,
        "automation_triggered": [],
        "skip_automations": [],
        "retry_automations": [],
        "import_id": IMPORT,
        "import_row": 7,
        "createdAt": NOW,
        "updatedAt": NOW,
    }
    encode(deal)


def test_without_automations_nothing_says_when_they_start() -> None:
    (deal,) = _maker(automations=False).deals([_row()], {"qualified": QUALIFIED}, NOW)
    assert "automation_starts" not in deal


def test_without_a_stage_column_a_deal_has_no_stage() -> None:
    (deal,) = _maker().deals([_row(stage="")], {}, NOW)
    assert "stage_id" not in deal


def test_a_row_cannot_overrule_what_comes_from_the_queue_document() -> None:
    row = Row(1, 2, {"name": "x", "account_id": "evil", "owner": "evil", "source": "evil"}, "", [])
    (deal,) = _maker().deals([row], {}, NOW)
    assert (deal["account_id"], deal["owner"], deal["source"]) == (ACCOUNT, USER, "csv")


def test_the_deals_of_a_chunk_stand_in_the_order_of_its_rows() -> None:
    later = NOW + timedelta(seconds=1)
    deals = _maker().deals([_row(n) for n in (5, 6, 9)], {"qualified": QUALIFIED}, later)
    assert [deal["import_row"] for deal in deals] == [5, 6, 9]
    assert {deal["createdAt"] for deal in deals} == {later}


def test_a_repeat_makes_the_same_ids() -> None:
    once, again = (
        [deal["_id"] for deal in _maker().deals([_row(1), _row(2)], {"qualified": QUALIFIED}, NOW)] for _ in "ab"
    )
    assert once == again == [deal_id(IMPORT, 1), deal_id(IMPORT, 2)]
    assert deal_id(IMPORT, 1) == ObjectId("65a1b2c3042a4de600000001"), (
        "ids of imports under way must survive an upgrade"
    )


def test_ids_differ_by_import_row_and_salt() -> None:
    same_second = ObjectId(IMPORT.binary[:4] + b"12345678")
    ids = {deal_id(who, row, salt) for who in (IMPORT, same_second) for row in range(1, 1001) for salt in range(3)}
    assert len(ids) == 6000
    assert {one.generation_time for one in ids} == {IMPORT.generation_time}
    assert deal_id(IMPORT, 2_000_000) > deal_id(IMPORT, 1)
