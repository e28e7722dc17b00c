"""Google's token endpoint for service accounts and the values API of Sheets, written from their public documentation.

The assertion's signature, audience and times are checked, and both quotas are enforced in windows of a minute.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jose import JWTError, jwt

from tests.support.stand_ins.stand_in import Document

EMAIL = "robot@project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/spreadsheets.readonly"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
VALUES = re.compile(r"/v4/spreadsheets/([^/]+)/values/([^/]+)")
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Google:
    """`sheets` is {spreadsheet id: rows of cells}; one that is not there is not shared with the account."""

    def __init__(self) -> None:
        self.url = ""
        self.sheets: dict[str, list[list[object]]] = {}
        self.reads: list[str] = []
        self.tokens: set[str] = set()
        self.assertions = 0
        self.per_minute, self.per_user = 300, 60
        self.answers: list[tuple[int, Document]] = []
        """What to answer to the next reads instead."""
        self._times: list[float] = []
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Google:
        app = web.Application()
        app.router.add_post("/token", self._token)
        app.router.add_get("/v4/{path:.*}", self._values)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._runner:
            await self._runner.cleanup()

    def key_file(self, folder: Path, **other: object) -> str:
        """The path of a key file of the account."""
        pem = _KEY.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        content = {
            "type": "service_account",
            "private_key_id": "k1",
            "private_key": pem.decode(),
            "client_email": EMAIL,
        }
        file = folder / "key.json"
        file.write_text(json.dumps({**content, "private_key": pem.decode(), "token_uri": f"{self.url}/token", **other}))
        return str(file)

    def environment(self, folder: Path) -> dict[str, str]:
        return {"GOOGLE_SERVICE_ACCOUNT_FILE": self.key_file(folder), "GOOGLE_SHEETS_BASE_URL": self.url}

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.assertions += 1
        public = _KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        try:
            claims = jwt.decode(
                str(form["assertion"]), public.decode(), algorithms=["RS256"], audience=f"{self.url}/token"
            )
        except JWTError as error:
            return web.json_response({"error": "invalid_grant", "error_description": str(error)}, status=400)
        known = claims["iss"] == EMAIL and claims["scope"] == SCOPE and claims["exp"] - claims["iat"] <= 3600
        if form["grant_type"] != GRANT or not known:
            return web.json_response({"error": "invalid_request"}, status=400)
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self.tokens.add(token)
        return web.json_response({"access_token": token, "expires_in": 3599, "token_type": "Bearer"})

    async def _values(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return _refused(401, "UNAUTHENTICATED")
        if self.answers:
            status, body = self.answers.pop(0)
            return web.json_response(body, status=status)
        self._times = [one for one in self._times if one > time.monotonic() - 60]
        if len(self._times) >= min(self.per_minute, self.per_user):
            return _refused(429, "RESOURCE_EXHAUSTED")
        self._times.append(time.monotonic())
        found = VALUES.fullmatch(request.rel_url.raw_path)
        id = unquote(found[1]) if found else ""
        if not found or id not in self.sheets:
            return _refused(404, "NOT_FOUND")
        self.reads.append(id)
        return web.json_response(
            {
                "range": unquote(found[2]),
                "majorDimension": "ROWS",
                "values": [_trimmed(row) for row in self.sheets[id]],
            }
        )


def _trimmed(row: list[object]) -> list[object]:
    """As Google does: without the empty cells at the end."""
    last = max((place for place, cell in enumerate(row, 1) if cell not in ("", None)), default=0)
    return row[:last]


def _refused(status: int, reason: str) -> web.Response:
    return web.json_response(
        {"error": {"code": status, "message": f"refused: {reason}", "status": reason}}, status=status
    )
