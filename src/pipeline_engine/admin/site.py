"""The routes, and the checks on every request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus

from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline_engine.admin import events, import_uploads, inbound_texts, triggers, unsubscribe
from pipeline_engine.admin.access import CLOSE, HEADERS, Refusal, refuse, refuse_away
from pipeline_engine.admin.health import Readiness, live
from pipeline_engine.admin.metrics import Metrics
from pipeline_engine.app import App
from pipeline_engine.lanes import LaneStats
from pipeline_engine.providers.tokens import ServiceTokens

MAX_BODY_BYTES = 64 * 1024
"""On every route but that of uploads."""


def site(
    app: App,
    tokens: ServiceTokens,
    wake_ups: triggers.WakeUps,
    is_stopping: Callable[[], bool],
    lane_stats: Callable[[], Mapping[str, LaneStats]],
) -> Starlette:
    """Health checks, metrics, what receivers of messages and webhooks reach, and the triggers when QM_HOOKS is on."""
    readiness = Readiness(app, is_stopping)
    guard = partial(_guard, {import_uploads.PATH: import_uploads.max_body_bytes(app.settings)})
    made = Starlette(
        routes=[
            Route("/healthz", live, methods=["GET"]),
            Route("/readyz", readiness.ready, methods=["GET"]),
            Route("/metrics", Metrics(app, readiness, is_stopping, lane_stats).show, methods=["GET"]),
            *unsubscribe.routes(app),
            *inbound_texts.routes(app),
            *events.routes(app, tokens),
            *import_uploads.routes(app, tokens),
            *(triggers.routes(tokens, wake_ups) if app.settings.qm_hooks else ()),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
        exception_handlers={HTTPException: refuse, PyMongoError: refuse_away, Exception: refuse},
    )
    made.router.redirect_slashes = False  # a redirect would repeat whatever host the request names
    return made


async def _guard(
    limits: Mapping[str, int], request: Request, answer: Callable[[Request], Awaitable[Response]]
) -> Response:
    """`limits`: {path: bytes of a body}, where they are not MAX_BODY_BYTES."""
    if "transfer-encoding" in request.headers:
        status, reason = HTTPStatus.LENGTH_REQUIRED, "a body needs a length"
        return await refuse(request, Refusal(status, "length_required", reason, CLOSE))
    length, limit = int(request.headers.get("content-length", 0)), limits.get(request.url.path, MAX_BODY_BYTES)
    if length > limit:
        large = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        reason = f"a body has at most {limit} bytes"
        return await refuse(request, Refusal(large, "too_large", reason, CLOSE))
    response = await answer(request)
    response.headers.update(HEADERS)
    if length > MAX_BODY_BYTES and response.status_code >= HTTPStatus.BAD_REQUEST:
        response.headers.update(CLOSE)  # much of the body may be unread
    return response
