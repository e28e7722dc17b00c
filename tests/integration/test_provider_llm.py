"""The language model's provider against a model that misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from pipeline_engine import settings
from pipeline_engine.app import App
from pipeline_engine.errors import EngineError, Permanent, RateLimited, Transient
from pipeline_engine.providers import llm as provider
from pipeline_engine.providers.llm import MAX_FAILURES, Llm
from tests.support.stand_ins.llm import Llm as StandInLlm
from tests.support.stand_ins.stand_in import BreakOff, Hang, Misdeed, Say

FACTS = '{"facts": [{"number": 1, "text": "a fact"}]}'
SECRETS = ("a secret rule", "a fact", "a key of the model")


@pytest.fixture
async def model() -> AsyncIterator[StandInLlm]:
    async with StandInLlm() as model:
        yield model


@pytest.fixture
async def llm(model: StandInLlm) -> AsyncIterator[Llm]:
    async with Llm(f"{model.url}/", "a key of the model", "stand-in", timeout=25) as llm:
        yield llm


@pytest.fixture
async def hasty(model: StandInLlm) -> AsyncIterator[Llm]:
    """A model of which a call may take half a second."""
    async with Llm(model.url, "a key of the model", "stand-in", timeout=0.5) as llm:
        yield llm


async def test_a_call_is_what_the_protocol_says(llm: Llm, model: StandInLlm) -> None:
    completion = await llm.complete("a secret rule", FACTS, 100)

    (call,) = model.calls
    assert (call.path, call.headers["Authorization"]) == ("/chat/completions", "Bearer a key of the model")
    assert call.content["messages"] == [
        {"role": "system", "content": "a secret rule"},
        {"role": "user", "content": FACTS},
    ]
    assert (call.content["model"], call.content["max_tokens"], call.content["temperature"]) == ("stand-in", 100, 0)
    assert call.content["response_format"] == {"type": "json_object"}
    assert "next step" in completion.text
    assert completion.tokens == 500


@pytest.mark.parametrize(
    ("misdeed", "error"),
    [
        (Say(429, headers={"Retry-After": "7"}), RateLimited),
        (Say(500, {"error": "a fact"}), Transient),
        (Say(401, {"error": {"message": "a key of the model"}}), Permanent),
        (Say(302, headers={"Location": "http://127.0.0.1:1/"}), Permanent),
        (Say(200, {"choices": []}), Transient),
        (Say(200, {"choices": [{"message": {"content": None}}]}), Transient),
        (Say(200, {"choices": "many"}), Transient),
        (BreakOff(), Transient),
    ],
    ids=str,
)
async def test_what_goes_wrong_is_an_error_that_quotes_nothing(
    llm: Llm, model: StandInLlm, misdeed: Misdeed, error: type[EngineError]
) -> None:
    model.next.append(misdeed)
    with pytest.raises(error) as raised:
        await llm.complete("a secret rule", FACTS, 100)
    assert not any(secret in str(raised.value) for secret in SECRETS)
    assert len(model.calls) == 1


@pytest.mark.parametrize("drips", [True, False], ids=["drips", "hangs"])
async def test_an_answer_that_does_not_end_ends_with_the_time_out(hasty: Llm, model: StandInLlm, drips: bool) -> None:
    model.drips = drips
    model.next.append(Hang())
    with pytest.raises(Transient, match="TimeoutError"):
        await hasty.complete("a secret rule", FACTS, 100)
    assert len(model.calls) == 1


async def test_an_answer_that_is_too_long_is_not_read_to_its_end(llm: Llm, model: StandInLlm) -> None:
    model.says = lambda _data: "x" * (provider.MAX_ANSWER_BYTES + 1)
    with pytest.raises(Transient, match="longer than"):
        await llm.complete("a secret rule", FACTS, 100)


async def test_a_refusal_is_permanent(llm: Llm, model: StandInLlm) -> None:
    model.message = {"refusal": "I would rather not speak of a fact", "content": None}
    with pytest.raises(Permanent) as raised:
        await llm.complete("a secret rule", FACTS, 100)
    assert raised.value.code == provider.REFUSED
    assert "a fact" not in str(raised.value)


@pytest.mark.parametrize("usage", [None, {"total_tokens": 0}, {"total_tokens": -1}, {"total_tokens": "9"}, {}])
async def test_tokens_are_estimated_where_the_server_does_not_say(
    llm: Llm, model: StandInLlm, usage: dict[str, object] | None
) -> None:
    model.usage = usage
    completion = await llm.complete("x" * 3000, FACTS, 100)
    assert 500 <= completion.tokens <= 1000


async def test_after_failures_in_a_row_the_model_rests_and_is_tried_again(
    llm: Llm, model: StandInLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.next.extend([Say(500)] * MAX_FAILURES)
    for _ in range(MAX_FAILURES):
        with pytest.raises(Transient, match="500"):
            await llm.complete("", FACTS, 100)
    with pytest.raises(Transient, match="in a row"):
        await llm.complete("", FACTS, 100)
    assert len(model.calls) == MAX_FAILURES

    later = monotonic() + provider.REST_SECONDS
    monkeypatch.setattr(provider, "monotonic", lambda: later)
    assert (await llm.complete("", FACTS, 100)).text
    assert (await llm.complete("", FACTS, 100)).text


async def test_refusals_do_not_keep_the_model_from_other_accounts(llm: Llm, model: StandInLlm) -> None:
    model.message = {"refusal": "no"}
    for _ in range(MAX_FAILURES + 1):
        with pytest.raises(Permanent):
            await llm.complete("", FACTS, 100)
    model.message = {}
    assert (await llm.complete("", FACTS, 100)).text


async def test_without_settings_there_is_no_model(app: App) -> None:
    assert not app.integrations.llm.is_set
    with pytest.raises(Permanent, match="LLM_BASE_URL"):
        await app.integrations.llm.complete("", FACTS, 100)


async def test_the_settings_make_the_model(model: StandInLlm) -> None:
    given = settings.from_environment(model.environment())
    async with Llm.of(given) as llm, asyncio.timeout(10):
        assert llm.is_set
        assert (await llm.complete("", FACTS, 100)).tokens == 500
