"""Who may ask: the bearer token of a request, and how a request is refused: `{error: {code, message}}`."""

from __future__ import annotations

import asyncio
from collections import Counter
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from pipeline_engine import logs
from pipeline_engine.providers.claims import Claims, TokenRefused
from pipeline_engine.providers.tokens import ServiceTokens
from pipeline_engine.repos.client import is_away

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""On every response."""
CHALLENGE = {"WWW-Authenticate": "Bearer"}
CLOSE = {"Connection": "close"}
"""On the response to a request whose body is not read."""
RETRY_LATER = {"Retry-After": "5"}
AWAY = "the database does not answer: send the same request again in some seconds"
LOG_SECONDS = 10.0
"""Refused tokens are counted so long for one line of the log, so that a guesser cannot fill it."""
MAX_KINDS = 20
"""Lines of one such time; what goes beyond is in the total only."""

log = logs.get(__name__)


class Refusal(HTTPException):
    """A request that is turned down; `code` is for programs, `message` for people."""

    def __init__(self, status: HTTPStatus, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.code = code


class RefusedTokens:
    """Counts refused tokens by reason and address, and logs them without anything of the token.

    The first of a kind is logged at once, those of the next 10 s together.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._total = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, code: str, request: Request) -> None:
        address = request.client.host if request.client else ""
        self._total += 1
        if len(self._counts) < MAX_KINDS or (code, address) in self._counts:
            self._counts[code, address] += 1
        if self._timer is None:
            self._log()

    def _log(self) -> None:
        self._timer = None
        for (code, address), count in self._counts.items():
            log.warning("tokens.refused", code=code, address=address, count=count, refused_since_start=self._total)
        if self._counts:
            self._timer = asyncio.get_running_loop().call_later(LOG_SECONDS, self._log)
        self._counts.clear()


async def refuse(_request: Request, error: Exception) -> JSONResponse:
    """The response to a refusal, ours or Starlette's. Any other error becomes a bare 500 that shows nothing of it."""
    return response_to(error)


async def refuse_away(request: Request, error: Exception) -> JSONResponse:
    """As `refuse`, for an error of MongoDB; the request is wrong in nothing, and may come again, when it is away."""
    if not is_away(error):
        raise error
    log.warning("request.not_served", server="mongodb", error=type(error).__name__)
    return await refuse(request, Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "database_away", AWAY, RETRY_LATER))


def response_to(error: Exception) -> JSONResponse:
    """As `refuse`, also where there is no request."""
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    code = error.code if isinstance(error, Refusal) else status.name.lower()
    message = error.detail if isinstance(error, Refusal) else status.phrase
    own = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"error": {"code": code, "message": message}}, status, {**HEADERS, **(own or {})})


def claims_of(request: Request, tokens: ServiceTokens, scope: str, refused: RefusedTokens) -> Claims:
    """The claims of the request's bearer token; one that is not accepted goes into `refused`.

    Raises: Refusal 401 when the token is missing or not valid, 403 when it lacks the scope.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refusal(HTTPStatus.UNAUTHORIZED, "token_missing", "this needs a bearer token", CHALLENGE)
    try:
        claims = tokens.verify(token.strip())
    except TokenRefused as error:
        refused.add(error.code, request)
        raise Refusal(HTTPStatus.UNAUTHORIZED, error.code, str(error), CHALLENGE) from None
    if scope not in claims.scope:
        refused.add("scope_missing", request)
        raise Refusal(HTTPStatus.FORBIDDEN, "scope_missing", f"this needs the scope {scope}")
    return claims
