"""Who asks: the bearer token of a request."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request

from pipeline_engine.admin.refusal import Refusal
from pipeline_engine.providers.claims import Claims, TokenRefused
from pipeline_engine.providers.tokens import ServiceTokens

ASK = {"WWW-Authenticate": "Bearer"}


def claims_of(request: Request, tokens: ServiceTokens, scope: str) -> Claims:
    """What the token says. Raises: Refusal (401) when there is none that we believe, (403) when it lacks the scope."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refusal(HTTPStatus.UNAUTHORIZED, "token_missing", "this needs a bearer token", ASK)
    try:
        claims = tokens.verify(token.strip())
    except TokenRefused as error:
        raise Refusal(HTTPStatus.UNAUTHORIZED, error.code, str(error), ASK) from None
    if scope not in claims.scope:
        raise Refusal(HTTPStatus.FORBIDDEN, "scope_missing", f"this needs the scope {scope}")
    return claims
