"""`webhooks` as a command."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId

from tests.support.command_line import CommandLine
from tests.support.stand_ins.endpoint import Answer, Endpoint
from tests.support.webhooks import consumed, deliveries, states, webhook, webhook_of
from tests.support.world import World


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An endpoint in a loop of its own, because a command runs the test's."""
    loop, endpoint = asyncio.new_event_loop(), Endpoint()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(10)

    run(endpoint.__aenter__())
    yield endpoint
    run(endpoint.__aexit__(None, None, None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def row_of(text: str, id: ObjectId) -> list[str]:
    """The cells of the only row of a table with this id in it."""
    (line,) = [line for line in text.splitlines() if str(id) in line]
    return [cell.strip() for cell in line.split("│")[1:-1]]


@pytest.mark.covers("CL-13")
def test_an_endpoint_is_tested_watched_and_enabled(engine: CommandLine, world: World, endpoint: Endpoint) -> None:
    id = webhook(world, endpoint.url + "/secret-path", "contact.created", "deal.*")
    secret = webhook_of(world, id)["secret"]

    tested = engine("webhooks", "test", id)
    assert (tested.returncode, "accepted with 204" in tested.stdout) == (0, True)
    assert endpoint.received[0].verified(secret)["type"] == "webhook.test"
    endpoint.next.append(Answer(500, {}, b"out of order"))
    failed = engine("webhooks", "test", id)
    assert (failed.returncode, "answered 500 out of order" in failed.stderr) == (1, True)

    endpoint.next.append(Answer(410))
    consumed(world)
    engine("run-once", "events.outbox")
    listed = row_of(engine("webhooks", "list", "--account", world.account).stdout, id)
    assert listed[2:6] == ["127.0.0.1", "contact.created, deal.*", "no", "1"]
    assert listed[-1] == "the endpoint answered 410 Gone"
    assert str(id) not in engine("webhooks", "list", "--account", ObjectId()).stdout
    shown = engine("webhooks", "show", id)
    assert "disabled because" in shown.stdout
    assert secret not in shown.stdout + engine("webhooks").stdout
    (gone,) = deliveries(world, state="failed", type="contact.created")
    assert row_of(engine("webhooks", "deliveries", id, "--state", "failed").stdout, gone["_id"])[3:6] == [
        *("failed", "1", "410")
    ]

    enabled = engine("webhooks", "enable", id)
    assert (enabled.returncode, "run-once events.outbox" in enabled.stdout) == (0, True)
    consumed(world)
    engine("run-once", "events.outbox")
    assert states(world) == {"delivered": 2, "failed": 2}
    assert webhook_of(world, id)["failures"] == 0


def test_rotate_prints_the_new_secret_once(engine: CommandLine, world: World, endpoint: Endpoint) -> None:
    id = webhook(world, endpoint.url)
    old = webhook_of(world, id)["secret"]

    rotated = engine("webhooks", "rotate", id).stdout.splitlines()

    assert (rotated[0], "signs as well until" in rotated[1]) == (webhook_of(world, id)["secret"], True)
    engine("webhooks", "test", id)
    for secret in (old, rotated[0]):
        endpoint.received[0].verified(secret)


@pytest.mark.parametrize("word", ["show", "test", "enable", "rotate"])
def test_what_is_no_webhook_and_what_is_no_id(engine: CommandLine, word: str) -> None:
    refused = engine("webhooks", word, id := ObjectId())
    assert (refused.returncode, f"there is no webhook {id}" in refused.stderr) == (1, True)
    assert engine("webhooks", word, "x").returncode == 2


@pytest.mark.parametrize(("changes", "text"), [({"secret": "x"}, "whsec_"), ({"filter": {"op": "x"}}, "filter")])
def test_what_would_fail_at_once_is_not_enabled(
    engine: CommandLine, world: World, changes: dict[str, Any], text: str
) -> None:
    id = webhook(world, "https://hooks.example.com/", active=False, **changes)
    refused = engine("webhooks", "enable", id)
    assert (refused.returncode, text in refused.stderr, webhook_of(world, id)["active"]) == (1, True, False)
