from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline_engine import failpoints
from pipeline_engine.errors import ConfigError, Transient
from pipeline_engine.failpoints import failpoint


@pytest.fixture(autouse=True)
def peace() -> Iterator[None]:
    yield
    failpoints.disarm()


class Shop:
    """Something with an outside: what was sold stays sold, whatever the seller hears of it."""

    def __init__(self) -> None:
        self.sold: list[str] = []

    @failpoint("shop.sell")
    async def sell(self, thing: str) -> int:
        """Sell it."""
        self.sold.append(thing)
        return len(self.sold)

    async def count(self) -> int:
        async with failpoint("shop.count"):
            return len(self.sold)


def arm(log: Path | None = None, **plan: Any) -> None:
    failpoints.arm(json.dumps(plan) if plan else None, str(log) if log else None)


async def test_unarmed_a_failpoint_changes_nothing() -> None:
    shop = Shop()
    assert await shop.sell("hat") == 1
    assert await shop.count() == 1
    assert (shop.sell.__name__, shop.sell.__doc__) == ("sell", "Sell it.")


async def test_only_the_nth_call_of_the_named_failpoint_fails() -> None:
    shop = Shop()
    arm(failpoint="shop.sell", nth=2, do="raise")
    await shop.sell("hat")
    await shop.count()
    with pytest.raises(Transient, match=r"planned fault before call 2 of shop\.sell"):
        await shop.sell("coat")
    await shop.sell("scarf")
    assert shop.sold == ["hat", "scarf"]


async def test_raise_after_carries_the_call_out() -> None:
    shop = Shop()
    arm(failpoint="shop.sell", do="raise", when="after")
    with pytest.raises(Transient):
        await shop.sell("hat")
    assert shop.sold == ["hat"]


async def test_hang_holds_the_call_until_it_is_cancelled() -> None:
    shop = Shop()
    arm(failpoint="shop.sell", do="hang")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await shop.sell("hat")
    assert shop.sold == []


async def test_delay_only_waits() -> None:
    shop = Shop()
    arm(failpoint="shop.count", do="delay", seconds=0.05)
    started = asyncio.get_running_loop().time()
    assert await shop.count() == 0
    assert asyncio.get_running_loop().time() - started >= 0.05


async def test_a_dry_run_lists_every_call_and_how_it_ended(tmp_path: Path) -> None:
    shop, log = Shop(), tmp_path / "failpoints"
    arm(log)
    await shop.sell("hat")
    await shop.count()
    await shop.sell("coat")
    with pytest.raises(ZeroDivisionError):
        async with failpoint("shop.count"):
            raise ZeroDivisionError
    assert log.read_text().splitlines() == [
        "shop.sell 1 before",
        "shop.sell 1 after",
        "shop.count 1 before",
        "shop.count 1 after",
        "shop.sell 2 before",
        "shop.sell 2 after",
        "shop.count 2 before",
    ]


async def test_calls_that_overlap_keep_their_numbers(tmp_path: Path) -> None:
    log = tmp_path / "failpoints"
    first_may_end = asyncio.Event()

    @failpoint("slow")
    async def slow(wait: bool) -> None:
        if wait:
            await first_may_end.wait()

    arm(log)
    first = asyncio.create_task(slow(wait=True))
    await asyncio.sleep(0)  # it starts, and waits inside
    await slow(wait=False)
    first_may_end.set()
    await first
    assert log.read_text().split("\n")[:-1] == ["slow 1 before", "slow 2 before", "slow 2 after", "slow 1 after"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_kill_ends_the_process_at_that_line(tmp_path: Path, when: str) -> None:
    log = tmp_path / "failpoints"
    program = """
import asyncio, sys
from pipeline_engine import failpoints
failpoints.arm(sys.argv[1], sys.argv[2])
@failpoints.failpoint("work")
async def work(): print("done", flush=True)
asyncio.run(work())
asyncio.run(work())
"""
    plan = json.dumps({"failpoint": "work", "nth": 2, "when": when, "do": "kill"})
    ended = subprocess.run([sys.executable, "-c", program, plan, str(log)], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert ended.stdout.count(b"done") == (1 if when == "before" else 2)
    assert log.read_text().splitlines()[-1] == f"work 2 {when}"


@pytest.mark.parametrize(
    "plan",
    [
        "{",
        "[]",
        '{"failpoint": "x"}',
        '{"failpoint": "x", "do": "explode"}',
        '{"failpoint": "x", "do": "kill", "nth": 0}',
        '{"failpoint": "x", "do": "kill", "whem": "after"}',
    ],
)
def test_a_plan_that_says_nothing_is_refused(plan: str) -> None:
    with pytest.raises(ConfigError, match="FAULT_PLAN"):
        failpoints.arm(plan, None)
