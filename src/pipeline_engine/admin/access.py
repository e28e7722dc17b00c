"""Who may ask: the bearer token of a request, and how a request is refused: `{error: {code, message}}`."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from pipeline_engine.providers.claims import Claims, TokenRefused
from pipeline_engine.providers.tokens import ServiceTokens

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""On every response."""
CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Refusal(HTTPException):
    """A request that is turned down; `code` is for programs, `message` for people."""

    def __init__(self, status: HTTPStatus, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.code = code


async def refuse(_request: Request, error: Exception) -> JSONResponse:
    """The response to a refusal, ours or Starlette's. Any other error becomes a bare 500 that shows nothing of it."""
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    code = error.code if isinstance(error, Refusal) else status.name.lower()
    message = error.detail if isinstance(error, Refusal) else status.phrase
    own = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"error": {"code": code, "message": message}}, status, {**HEADERS, **(own or {})})


def claims_of(request: Request, tokens: ServiceTokens, scope: str) -> Claims:
    """The claims of the request's bearer token.

    Raises: Refusal 401 when the token is missing or not valid, 403 when it lacks the scope.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refusal(HTTPStatus.UNAUTHORIZED, "token_missing", "this needs a bearer token", CHALLENGE)
    try:
        claims = tokens.verify(token.strip())
    except TokenRefused as error:
        raise Refusal(HTTPStatus.UNAUTHORIZED, error.code, str(error), CHALLENGE) from None
    if scope not in claims.scope:
        raise Refusal(HTTPStatus.FORBIDDEN, "scope_missing", f"this needs the scope {scope}")
    return claims
