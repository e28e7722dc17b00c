"""A message leaves only behind its record, and what refuses it before that is recorded too."""

from __future__ import annotations

import math
from collections.abc import Collection

from pipeline_engine.domain.messages.inbound_text import STOPPED
from pipeline_engine.domain.messages.message import Recorded, TextDelivery
from pipeline_engine.domain.messages.recipients import recipients
from pipeline_engine.domain.messages.send_all import send_all
from pipeline_engine.domain.messages.send_result import SENDER_REST_SECONDS, Delivered, GivenUp, Limited
from pipeline_engine.errors import Permanent, SenderRefused
from pipeline_engine.repos.effects import Begin
from tests.support.engine_app import EngineApp
from tests.support.world import World


async def all_wanted(keys: Collection[str]) -> Collection[str]:
    return keys


async def test_a_call_refused_before_its_record_is_a_failed_attempt(world: World, app: EngineApp) -> None:
    async def refuse(_key: str, _recorded: Recorded) -> str | None:
        raise Permanent("no such mailbox", "smtp_refused")

    results = await send_all(
        app, world.account, "email", {"a": refuse}, still_wanted=all_wanted, places=5, until=math.inf
    )

    assert results == {"a": GivenUp("no such mailbox", 1, "smtp_refused")}
    (record,) = world.db["effects"].find()
    assert (record["state"], record["attempts"], record["ambiguous"]) == ("failed", 1, False)


async def test_what_another_run_has_begun_is_not_handed_over(world: World, app: EngineApp) -> None:
    sent = []

    async def send(key: str, recorded: Recorded) -> str | None:
        await recorded()
        sent.append(key)
        return key

    async def hesitate(keys: Collection[str]) -> Collection[str]:
        await app.shared.effects.write(world.account, [Begin("taken", "email")])
        return keys

    units = {"taken": send, "free": send}
    results = await send_all(app, world.account, "email", units, still_wanted=hesitate, places=5, until=math.inf)

    assert (sent, results) == (["free"], {"free": Delivered()})


async def test_a_provider_that_takes_nothing_of_ours_is_asked_once_per_place(world: World, app: EngineApp) -> None:
    asked = []

    async def refuse(key: str, _recorded: Recorded) -> str | None:
        asked.append(key)
        raise SenderRefused("535 wrong password", "smtp_login")

    units = {f"{n:02}": refuse for n in range(20)}
    results = await send_all(app, world.account, "email", units, still_wanted=all_wanted, places=5, until=math.inf)

    assert len(asked) <= 5
    assert set(results.values()) == {Limited(SENDER_REST_SECONDS, "535 wrong password")}
    assert all((one["state"], one["attempts"]) == ("planned", 0) for one in world.db["effects"].find())


async def test_a_number_that_has_opted_out_at_the_provider_is_suppressed_until_it_texts_start(
    world: World, app: EngineApp
) -> None:
    async def refuse(_key: str) -> str | None:
        raise Permanent("twilio refuses: 400 opted out", "opted_out")

    unit = TextDelivery("+15551234567", refuse, None)
    await send_all(app, world.account, "sms", {"a": unit}, still_wanted=all_wanted, places=5, until=math.inf)

    (suppression,) = world.db["suppressions"].find()
    assert (suppression["channel"], suppression["address"], suppression["reason"]) == ("sms", "+15551234567", STOPPED)
    assert [type(one) for one in await recipients(app, world.account, "sms", ["+1 555 123 4567"])] == [Permanent]
