"""The CRM's internal API: InstaReports and InstaSites, made once per Idempotency-Key."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from bson import ObjectId
from jose import JWTError, jwt

from tests.support.stand_ins.stand_in import Call, Document, StandIn

WANTED = {"/instareports": {"deal_id", "report_type"}, "/instasites": {"deal_id", "site_template_id"}}


class CrmApi(StandIn):
    """`made`: {key: what was made}. `repeats`: the keys that came again. `unwanted`: deals for which it makes none."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._secret = secret
        self.made: dict[str, Document] = {}
        self.repeats: list[str] = []
        self.unwanted: set[str] = set()

    def environment(self) -> dict[str, str]:
        return {"CRM_API_URL": self.url}

    def do(self, call: Call) -> web.Response:
        claims = self._claims(call)
        if claims is None:
            return _refused(401, "the token is not valid")
        if f"{call.path.strip('/')}.create" not in claims["scope"].split():
            return _refused(403, "the token does not allow this")
        if call.content.keys() != WANTED.get(call.path) or not call.key:
            return _refused(422, "the request is not complete")
        if call.content["deal_id"] in self.unwanted:
            return _refused(422, "there is nothing to make for this deal")
        if call.key in self.made:
            self.repeats.append(call.key)
        else:
            self.made[call.key] = {"id": str(ObjectId()), "account_id": claims["account_id"], **call.content}
        return web.json_response({"id": self.made[call.key]["id"]}, status=201)

    def _claims(self, call: Call) -> dict[str, Any] | None:
        token = call.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            return jwt.decode(token, self._secret, algorithms=["HS256"])
        except JWTError:
            return None


def _refused(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"code": "refused", "message": message}}, status=status)
