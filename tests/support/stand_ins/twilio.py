"""Twilio's Messages API, as far as the engine uses it. It does not know Idempotency-Key: a repeat is sent again."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from tests.support.stand_ins.stand_in import Call, Document, StandIn

SID, TOKEN, FROM = "AC" + "0" * 32, "twilio's token", "+15005550006"
LOGIN = "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
E164 = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True)
class Message:
    sid: str
    to: str
    body: str
    key: str | None


class Twilio(StandIn):
    """`messages`: what was really sent."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []
        self.times: list[tuple[datetime, datetime]] = []
        """Of each of the messages: when the call came, and when it was done."""

    def environment(self) -> dict[str, str]:
        names = {"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN": TOKEN, "TWILIO_FROM": FROM}
        return {**names, "TWILIO_BASE_URL": self.url}

    async def read(self, request: web.Request) -> Document:
        return {name: str(value) for name, value in (await request.post()).items()}

    def do(self, call: Call) -> web.Response:
        if call.path != f"/2010-04-01/Accounts/{SID}/Messages.json":
            return _refused(404, 20404, "The requested resource was not found")
        if call.headers.get("Authorization") != LOGIN:
            return _refused(401, 20003, "Authenticate")
        if not (call.content.get("From") or call.content.get("MessagingServiceSid")):
            return _refused(400, 21603, "A 'From' phone number is required.")
        if not E164.fullmatch(call.content.get("To", "")):
            return _refused(400, 21211, f"Invalid 'To' Phone Number: {call.content.get('To')}")
        if not call.content.get("Body"):
            return _refused(400, 21602, "Message body is required.")
        self.times.append((call.came_at, datetime.now(UTC)))
        message = Message(f"SM{secrets.token_hex(16)}", call.content["To"], call.content["Body"], call.key)
        self.messages.append(message)
        return web.json_response({"sid": message.sid, "status": "queued"}, status=201)


def _refused(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message, "status": status}, status=status)
