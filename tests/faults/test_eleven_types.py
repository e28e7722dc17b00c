"""All eleven types for many deals each, of which one in a hundred fails: by the real run-once, on real servers."""

from __future__ import annotations

import pytest

from tests.support.drills.automations.case import Expected
from tests.support.drills.automations.plan import AutomationDrill

TYPES = (
    "add_tag",
    "remove_tag",
    "email",
    "sms",
    "note",
    "reminder",
    "owner",
    "follower",
    "stage",
    "instareport",
    "instasite",
)
REASONS = {
    "email": "the contact's e-mail address is not a valid address",
    "sms": "the contact's telephone number is missing",
    "instareport": "crm_api refuses: 422 there is nothing to make for this deal",
    "instasite": "crm_api refuses: 422 there is nothing to make for this deal",
}
REFUSED = "Document failed validation"


# The large numbers are more than one batch each.
@pytest.mark.parametrize("deals", [24, *(pytest.param(n, marks=pytest.mark.slow) for n in (210, 1_000))])
@pytest.mark.covers("DA-03", "DA-04", "DA-05", "DA-16", "DA-17", "DA-18", "DA-19", "DA-25", "DA-X6")
async def test_all_types_for_many_deals_each(automation_drill: AutomationDrill, deals: int, figure: list[str]) -> None:
    expected = {type: automation_drill.plan.plant(type, deals, bad=1 + deals // 100) for type in TYPES}

    seconds = await _work_off(automation_drill)

    for type, one in expected.items():
        _assert_reasons(automation_drill, type, one)
    figure.append(f"eleven types: {11 * deals / seconds:.0f} deals/s, {11 * deals // 100} failed, all others once")


@pytest.mark.slow
@pytest.mark.parametrize("type", TYPES)
async def test_one_type_for_ten_thousand_deals(automation_drill: AutomationDrill, type: str, figure: list[str]) -> None:
    expected = automation_drill.plan.plant(type, deals=10_000, bad=100)

    seconds = await _work_off(automation_drill)

    _assert_reasons(automation_drill, type, expected)
    figure.append(f"10,000 deals: {10_000 / seconds:.0f} deals/s, 100 failed, all others once")


async def _work_off(drill: AutomationDrill) -> float:
    """Returns the seconds that it took. A second pass finds nothing to do."""
    automations = len(drill.plan.expected)
    first = (await drill.run_once())["deals.automations"]
    assert (first["units"], first["succeeded"], first["failed"]) == (automations, automations, 0)
    drill.check()
    before = len(drill.plan.outside.arrivals())

    again = (await drill.run_once())["deals.automations"]

    assert (again["units"], again["jobs"]) == (0, 0)
    assert len(drill.plan.outside.arrivals()) == before
    drill.check()
    return float(first["seconds"])


def _assert_reasons(drill: AutomationDrill, type: str, expected: Expected) -> None:
    """Each deal that failed stands in the logs with the reason."""
    logs = drill.world.db["automation_logs"].find({"automation": expected.automation})
    failed = {entry["deal"]: entry["message"] for log in logs for entry in log["failed"]}
    assert failed == dict.fromkeys(expected.failed, REASONS.get(type, REFUSED))
