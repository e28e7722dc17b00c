"""A request that is turned down, and how that is told: `{error: {code, message}}`."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer."""


class Refusal(HTTPException):
    """`code` is for programs, `message` for people."""

    def __init__(self, status: HTTPStatus, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.code = code


async def told(_request: Request, error: Exception) -> JSONResponse:
    """The answer to a refusal of ours or of Starlette's; of a fault of our own nothing is told but that it is one."""
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    code = error.code if isinstance(error, Refusal) else status.name.lower()
    message = error.detail if isinstance(error, Refusal) else status.phrase
    own = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"error": {"code": code, "message": message}}, status, {**HEADERS, **(own or {})})
