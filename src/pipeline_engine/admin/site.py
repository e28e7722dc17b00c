"""The routes, and the checks on every request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline_engine.admin import triggers
from pipeline_engine.admin.access import HEADERS, Refusal, refuse
from pipeline_engine.admin.health import Readiness, live
from pipeline_engine.app import App
from pipeline_engine.providers.tokens import ServiceTokens

MAX_BODY_BYTES = 64 * 1024


def site(app: App, tokens: ServiceTokens, wake_ups: triggers.WakeUps, is_stopping: Callable[[], bool]) -> Starlette:
    """Health checks, and the triggers when QM_HOOKS is on."""
    return Starlette(
        routes=[
            Route("/healthz", live, methods=["GET"]),
            Route("/readyz", Readiness(app, is_stopping).ready, methods=["GET"]),
            *(triggers.routes(tokens, wake_ups) if app.settings.qm_hooks else ()),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=_guard)],
        exception_handlers={HTTPException: refuse, Exception: refuse},
    )


async def _guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    if "transfer-encoding" in request.headers:
        return await refuse(request, Refusal(HTTPStatus.LENGTH_REQUIRED, "length_required", "a body needs a length"))
    if int(request.headers.get("content-length", 0)) > MAX_BODY_BYTES:
        large = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return await refuse(request, Refusal(large, "too_large", f"a body has at most {MAX_BODY_BYTES} bytes"))
    response = await answer(request)
    response.headers.update(HEADERS)
    return response
