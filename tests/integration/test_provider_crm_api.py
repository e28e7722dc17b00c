from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from jose import jwt

from pipeline_engine.clock import Clock
from pipeline_engine.errors import Permanent, RateLimited, Transient, Unknown
from pipeline_engine.providers.claims import Identity
from pipeline_engine.providers.crm_api import CrmApi
from pipeline_engine.providers.tokens import ServiceTokens
from tests.support.stand_ins.crm_api import CrmApi as StandInCrmApi
from tests.support.stand_ins.stand_in import BreakOff, Hang, Misdeed, Say

SECRET = "a secret that is long enough for everybody"
CREATOR = Identity(uid="u1", account_id="a1", parent_account="p1")


@pytest.fixture
async def crm() -> AsyncIterator[StandInCrmApi]:
    async with StandInCrmApi(SECRET) as crm:
        yield crm


@pytest.fixture
async def api(crm: StandInCrmApi) -> AsyncIterator[CrmApi]:
    async with CrmApi(f"{crm.url}/", ServiceTokens(SECRET, Clock())) as api:
        yield api


@pytest.fixture
async def hasty(crm: StandInCrmApi) -> AsyncIterator[CrmApi]:
    """A client of which a call may take two seconds."""
    async with CrmApi(crm.url, ServiceTokens(SECRET, Clock()), timeout=2) as api:
        yield api


async def test_a_report_is_made(api: CrmApi, crm: StandInCrmApi) -> None:
    id = await api.make_report(CREATOR, "d1", "seo", "a:d1:0")
    assert crm.made == {"a:d1:0": {"id": id, "account_id": "a1", "deal_id": "d1", "report_type": "seo"}}


async def test_a_site_is_made(api: CrmApi, crm: StandInCrmApi) -> None:
    id = await api.make_site(CREATOR, "d1", "t1", "a:d1:0")
    assert crm.made == {"a:d1:0": {"id": id, "account_id": "a1", "deal_id": "d1", "site_template_id": "t1"}}


async def test_the_call_speaks_for_the_creator_with_no_more_than_it_needs(api: CrmApi, crm: StandInCrmApi) -> None:
    await api.make_report(CREATOR, "d1", "seo", "a:d1:0")
    token = crm.calls[0].headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert (claims["uid"], claims["account_id"], claims["parent_account"]) == ("u1", "a1", "p1")
    assert "instareports.create" in claims["scope"]
    assert "instasites.create" not in claims["scope"]


@pytest.mark.parametrize("misdeed", [Say(500), BreakOff(), Hang()])
async def test_a_repeat_after_an_unknown_end_makes_nothing_new(
    api: CrmApi, hasty: CrmApi, crm: StandInCrmApi, misdeed: Misdeed
) -> None:
    crm.next.append(misdeed)
    with pytest.raises(Unknown):
        await (hasty if isinstance(misdeed, Hang) else api).make_report(CREATOR, "d1", "seo", "a:d1:0")
    assert await api.make_report(CREATOR, "d1", "seo", "a:d1:0") == crm.made["a:d1:0"]["id"]
    assert len(crm.made) == 1


async def test_refusals_limits_and_calls_under_way(api: CrmApi, crm: StandInCrmApi) -> None:
    crm.next.extend([Say(404, {"error": {"code": "no_deal", "message": "no such deal"}}), Say(429), Say(409)])
    with pytest.raises(Permanent, match="crm_api refuses: 404 no such deal"):
        await api.make_report(CREATOR, "d1", "seo", "a:d1:0")
    with pytest.raises(RateLimited):
        await api.make_report(CREATOR, "d1", "seo", "a:d1:0")
    with pytest.raises(Transient):
        await api.make_report(CREATOR, "d1", "seo", "a:d1:0")


async def test_a_wrong_secret_is_permanent(crm: StandInCrmApi) -> None:
    async with CrmApi(crm.url, ServiceTokens("another secret that is long enough", Clock())) as api:
        with pytest.raises(Permanent, match="401 the token is not valid"):
            await api.make_report(CREATOR, "d1", "seo", "a:d1:0")


async def test_what_is_not_set_is_named() -> None:
    async with CrmApi(None, ServiceTokens(SECRET, Clock())) as api:
        with pytest.raises(Permanent, match="CRM_API_URL is not set"):
            await api.make_report(CREATOR, "d1", "seo", "a:d1:0")
    async with CrmApi("http://127.0.0.1:9", None) as api:
        with pytest.raises(Permanent, match="APP_SECRET is not set"):
            await api.make_site(CREATOR, "d1", "t1", "a:d1:0")
