"""Apollo's bulk enrichment, against a stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.providers.enrichment import Enrichment, Person, read_person
from tests.support.stand_ins.apollo import KEY, Apollo
from tests.support.stand_ins.stand_in import BreakOff, Hang, Misdeed, Say


@pytest.fixture
async def apollo() -> AsyncIterator[Apollo]:
    async with Apollo() as apollo:
        yield apollo


@pytest.fixture
async def enrichment(apollo: Apollo) -> AsyncIterator[Enrichment]:
    async with Enrichment(KEY, f"{apollo.url}/api/v1/") as enrichment:
        yield enrichment


@pytest.fixture
async def hasty(apollo: Apollo) -> AsyncIterator[Enrichment]:
    """A client of which a call may take half a second."""
    async with Enrichment(KEY, f"{apollo.url}/api/v1/", timeout=0.5) as enrichment:
        yield enrichment


async def test_people_come_back_in_the_order_asked(enrichment: Enrichment, apollo: Apollo) -> None:
    apollo.knows("a@x.com", company="Acme", title="CEO", phone="+4930123456")
    apollo.knows("c@x.com", title="CTO")
    people = await enrichment.match(["c@x.com", "b@x.com", "a@x.com"])
    assert people == [Person(title="CTO"), None, Person("Acme", "CEO", "+4930123456")]


async def test_fewer_matches_than_addresses_are_read_by_the_addresses_they_name(
    enrichment: Enrichment, apollo: Apollo
) -> None:
    found = [{"email": "C@x.com", "title": "CTO"}, None]
    apollo.next += [Say(200, {"matches": found}), Say(200, {"matches": []}), Say(200, {"matches": [{"title": "CTO"}]})]
    emails = ["a@x.com", "b@x.com", "c@x.com"]
    assert await enrichment.match(emails) == [None, None, Person(title="CTO")]
    assert await enrichment.match(emails) == [None, None, None]
    with pytest.raises(Transient):
        await enrichment.match(emails)


async def test_the_number_of_the_company_is_not_the_persons(enrichment: Enrichment, apollo: Apollo) -> None:
    apollo.knows("a@x.com", company="Acme")
    assert await enrichment.match(["a@x.com"]) == [Person("Acme")]


@pytest.mark.parametrize(
    "match",
    [
        None,
        [],
        "x",
        {},
        {"title": 7, "organization": "Acme"},
        {"title": "x" * 501},
        {"title": "\x1b[2J"},
        {"title": " "},
    ],
)
def test_what_is_no_person_is_none(match: object) -> None:
    assert read_person(match) is None


@pytest.mark.parametrize(
    ("match", "phone"),
    [
        ({"phone_numbers": [{"raw_number": "+1 555"}]}, "+1 555"),
        ({"contact": {"phone_numbers": [{"sanitized_number": "+1555"}]}}, "+1555"),
        ({"contact": {"sanitized_phone": "+1555"}}, "+1555"),
        ({"phone_numbers": [None, {"sanitized_number": ""}, {"sanitized_number": "+1555"}]}, "+1555"),
    ],
)
def test_a_number_is_read_wherever_apollo_puts_it(match: dict[str, Any], phone: str) -> None:
    assert read_person(match) == Person(phone=phone)


async def test_a_wrong_key_is_permanent_and_not_shown(apollo: Apollo) -> None:
    async with Enrichment("a wrong key", f"{apollo.url}/api/v1") as enrichment:
        with pytest.raises(Permanent, match="401") as refused:
            await enrichment.match(["a@x.com"])
    assert "a wrong key" not in str(refused.value)


async def test_without_a_key_nothing_is_called(apollo: Apollo) -> None:
    async with Enrichment(None, apollo.url) as enrichment:
        with pytest.raises(Permanent, match="APOLLO_API_KEY"):
            await enrichment.match(["a@x.com"])
    assert not apollo.calls


async def test_a_refusal_does_not_quote_the_address(enrichment: Enrichment, apollo: Apollo) -> None:
    apollo.refused.add("secret.person@x.com")
    with pytest.raises(Permanent) as refused:
        await enrichment.match(["secret.person@x.com"])
    assert "secret.person" not in str(refused.value)


def test_a_company_may_stand_beside_an_organization_without_a_name() -> None:
    assert read_person({"organization": {"id": "1"}, "organization_name": "Acme"}) == Person("Acme")


async def test_a_limit_says_when_to_come_back(enrichment: Enrichment, apollo: Apollo) -> None:
    apollo.calls_left = 0
    with pytest.raises(RateLimited) as limited:
        await enrichment.match(["a@x.com"])
    assert limited.value.retry_after == 7


@pytest.mark.parametrize(
    "misdeed",
    [BreakOff(), Hang(), Say(500), Say(200, {}), Say(200, {"matches": [{}, {}]}), Say(200, {"matches": {"a": 1}})],
)
async def test_what_is_no_answer_may_pass(
    enrichment: Enrichment, hasty: Enrichment, apollo: Apollo, misdeed: Misdeed
) -> None:
    apollo.next.append(misdeed)
    with pytest.raises(Transient):
        await (hasty if isinstance(misdeed, Hang) else enrichment).match(["a@x.com"])
