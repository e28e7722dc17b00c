"""POST starts a sweep at once, without waiting for its next time. Asking twice changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline_engine import logs, workers
from pipeline_engine.admin.access import Refusal, RefusedTokens, claims_of
from pipeline_engine.providers.tokens import ServiceTokens

WakeUps = Mapping[str, Callable[[], None]]
"""By the name of the sweep; a sweep whose system is switched off is missing."""

SCOPE = "contacts.create"
"""The scope that the CRM asks for when a user uploads an import."""

log = logs.get(__name__)


def routes(tokens: ServiceTokens, wake_ups: WakeUps) -> Iterator[Route]:
    """One route per sweep that may be triggered."""
    refused = RefusedTokens()
    for system in workers.SYSTEMS:
        for path, sweep in system.triggers.items():
            yield Route(path, _endpoint(sweep, tokens, wake_ups, refused), methods=["POST"])


def _endpoint(
    sweep: str, tokens: ServiceTokens, wake_ups: WakeUps, refused: RefusedTokens
) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def endpoint(request: Request) -> JSONResponse:
        who = claims_of(request, tokens, SCOPE, refused).identity
        if sweep not in wake_ups:
            raise Refusal(HTTPStatus.CONFLICT, "switched_off", f"{sweep} is switched off here")
        wake_ups[sweep]()
        log.info("sweep.triggered", sweep=sweep, user=who.uid, account=who.account_id)
        return JSONResponse({"sweep": sweep, "status": "triggered"}, HTTPStatus.ACCEPTED)

    return endpoint
