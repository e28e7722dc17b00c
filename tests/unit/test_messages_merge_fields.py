"""What a template can name, for every kind of record."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.domain.messages.merge_fields import ACCOUNT_FIELDS, merge_fields

DEAL = {
    "_id": ObjectId(),
    "name": "Acme",
    "contact_name": "John",
    "contact_email": "john@acme.com",
    "additional_info": {"size": "12"},
    "automation_triggered": [ObjectId()],
}
CONTACT = {"_id": ObjectId(), "name": "Jane", "email": "jane@acme.com", "company": "Acme", "lead_score": 80}
LEAD = {"_id": ObjectId(), "name": "Jim", "email": "jim@acme.com", "status": "open", "tags": ["new"]}


def test_deal_contact_and_account() -> None:
    fields = merge_fields({"name": "Seller Ltd", "active": True}, deal=DEAL)
    assert fields.keys() == {"deal", "contact", "account"}
    assert fields["deal"]["id"] == DEAL["_id"]
    assert fields["deal"]["name"] == "Acme"
    assert fields["deal"]["additional_info"] == {"size": "12"}
    assert fields["contact"] == {"name": "John", "email": "john@acme.com", "phone": None}
    assert fields["account"]["name"] == "Seller Ltd"


def test_a_field_that_a_deal_may_have_is_there_even_when_it_has_none() -> None:
    fields = merge_fields({}, deal={"_id": ObjectId()})
    assert fields["deal"]["value"] is None
    assert (fields["deal"]["tags"], fields["deal"]["additional_info"]) == ([], {})
    assert fields["account"]["name"] is None


def test_a_contact_by_itself() -> None:
    fields = merge_fields({}, contact=CONTACT)
    assert fields.keys() == {"contact", "account"}
    assert fields["contact"]["company"] == "Acme"
    assert (fields["contact"]["id"], fields["contact"]["phone"]) == (CONTACT["_id"], None)
    assert fields["contact"]["lead_score"] == 80


def test_a_lead_is_its_own_contact() -> None:
    fields = merge_fields({}, lead=LEAD)
    assert fields.keys() == {"lead", "contact", "account"}
    assert (fields["lead"]["status"], fields["lead"]["tags"], fields["lead"]["owner"]) == ("open", ["new"], None)
    assert fields["contact"] == {"name": "Jim", "email": "jim@acme.com", "phone": None}


def test_a_lead_s_deal_is_about_the_lead_and_a_contact_goes_before_both() -> None:
    assert merge_fields({}, deal=DEAL, lead=LEAD)["contact"]["name"] == "Jim"
    assert merge_fields({}, deal=DEAL, lead=LEAD, contact=CONTACT)["contact"]["name"] == "Jane"


def test_the_engine_s_marks_and_the_account_s_secrets_are_left_out() -> None:
    account = {"smtp_password": "x", "apiKey": "x", "stripe_secret": "x", "access_token": "x", "keys": {"private": "x"}}
    fields = merge_fields(account, deal=DEAL)
    assert fields["account"].keys() == set(ACCOUNT_FIELDS)
    assert "automation_triggered" not in fields["deal"]
