"""Apollo's bulk enrichment, written from its public documentation: `matches` in the order of `details`, null where
no person is found, at most ten, and a limit of calls per minute."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.support.stand_ins.stand_in import Call, Document, StandIn

KEY = "apollo's secret key"
PATH = "/api/v1/people/bulk_match"


class Apollo(StandIn):
    """`people` is {address: what is known}; `asked` are all addresses, `refused` those for which a call is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.people: dict[str, Document] = {}
        self.asked: list[str] = []
        self.refused: set[str] = set()
        self.calls_left = 1000

    def environment(self) -> dict[str, str]:
        return {"APOLLO_API_KEY": KEY, "APOLLO_BASE_URL": f"{self.url}/api/v1"}

    def knows(self, email: str, **person: Any) -> None:
        company = person.pop("company", None)
        phone = person.pop("phone", None)
        organization = {"name": company, "primary_phone": {"number": "+15550000000"}} if company else None
        numbers = [{"raw_number": phone, "sanitized_number": phone, "type": "work_direct"}] if phone else []
        self.people[email] = {"email": email, "organization": organization, "phone_numbers": numbers, **person}

    def do(self, call: Call) -> web.Response:
        details = call.content.get("details")
        if call.path != PATH:
            return web.json_response({"error": "not found"}, status=404)
        if call.headers.get("x-api-key") != KEY:
            return web.json_response({"error": "Invalid access credentials."}, status=401)
        if not isinstance(details, list) or not 0 < len(details) <= 10:
            return web.json_response({"error": "details must hold 1 to 10 people"}, status=422)
        emails = [one.get("email") for one in details]
        if self.refused & set(emails):
            return web.json_response({"error": f"invalid value: {emails[0]}"}, status=422)
        if not self.calls_left:
            return web.json_response({"message": "rate limit"}, status=429, headers={"Retry-After": "7"})
        self.calls_left -= 1
        self.asked += emails
        matches = [self.people.get(one) for one in emails]
        found = sum(one is not None for one in matches)
        counts = {
            "total_requested_enrichments": len(emails),
            "unique_enriched_records": found,
            "credits_consumed": found,
        }
        return web.json_response({"status": "success", **counts, "matches": matches})
