from __future__ import annotations

from bson import ObjectId

from pipeline_engine.domain.merge_fields import merge_fields

DEAL = {
    "_id": ObjectId(),
    "name": "Acme",
    "contact_name": "John",
    "contact_email": "john@acme.com",
    "additional_info": {"size": "12"},
    "automation_triggered": [ObjectId()],
}


def test_deal_contact_and_account() -> None:
    fields = merge_fields(DEAL, {"name": "Seller Ltd", "active": True})
    assert fields["deal"]["id"] == DEAL["_id"]
    assert fields["deal"]["name"] == "Acme"
    assert fields["deal"]["additional_info"] == {"size": "12"}
    assert fields["contact"] == {"name": "John", "email": "john@acme.com", "phone": None}
    assert fields["account"]["name"] == "Seller Ltd"


def test_a_field_that_a_deal_may_have_is_there_even_when_it_has_none() -> None:
    fields = merge_fields({"_id": ObjectId()}, {})
    assert fields["deal"]["value"] is None
    assert fields["deal"]["tags"] == []
    assert fields["account"]["name"] is None


def test_our_marks_and_the_account_s_secrets_stay_here() -> None:
    account = {"smtp_password": "x", "apiKey": "x", "stripe_secret": "x", "access_token": "x", "keys": {"private": "x"}}
    fields = merge_fields(DEAL, account)
    assert fields["account"].keys() == {"name", "timezone"}
    assert "automation_triggered" not in fields["deal"]
