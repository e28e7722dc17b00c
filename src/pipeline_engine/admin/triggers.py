"""A sweep, now: for whoever does not want to wait for the next look. Asking twice changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline_engine import logs
from pipeline_engine.admin.bearer import claims_of
from pipeline_engine.admin.refusal import Refusal
from pipeline_engine.providers.tokens import ServiceTokens

Pokes = Mapping[str, Callable[[], None]]
"""By the name of the sweep; a system that is switched off has none."""

PATHS = {
    "deals.import": "/api/trigger/deals/import",
    "deals.automations": "/api/trigger/deals/automations",
    "funnels.clone": "/api/trigger/funnels/funnelClone",
}
SCOPE = "contacts.create"
"""As for the upload of an import."""

log = logs.get(__name__)


def routes(tokens: ServiceTokens, pokes: Pokes) -> Iterator[Route]:
    """One per sweep that people may ask for."""
    for sweep, path in PATHS.items():
        yield Route(path, _endpoint(sweep, tokens, pokes), methods=["POST"])


def _endpoint(sweep: str, tokens: ServiceTokens, pokes: Pokes) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def endpoint(request: Request) -> JSONResponse:
        who = claims_of(request, tokens, SCOPE).identity
        if sweep not in pokes:
            raise Refusal(HTTPStatus.CONFLICT, "switched_off", f"{sweep} is switched off here")
        pokes[sweep]()
        log.info("sweep triggered", sweep=sweep, user=who.uid, account=who.account_id)
        return JSONResponse({"sweep": sweep, "status": "triggered"}, HTTPStatus.ACCEPTED)

    return endpoint
