"""The routes, and what may pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline_engine.admin import health, triggers
from pipeline_engine.admin.refusal import Refusal, told
from pipeline_engine.app import App
from pipeline_engine.providers.tokens import ServiceTokens

LARGEST = 64 * 1024
"""Bytes of a request's body."""
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def site(app: App, tokens: ServiceTokens, trigger: triggers.Trigger) -> Starlette:
    async def ready(_request: Request) -> JSONResponse:
        return await health.ready(app)

    return Starlette(
        routes=[
            Route("/healthz", health.live, methods=["GET"]),
            Route("/readyz", ready, methods=["GET"]),
            *triggers.routes(app.settings, tokens, trigger),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=_guard)],
        exception_handlers={HTTPException: told, Exception: told},
    )


async def _guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > LARGEST:
        too_large = Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"a body has at most {LARGEST} bytes")
        return await told(request, too_large)
    response = await answer(request)
    response.headers.update(HEADERS)
    return response
