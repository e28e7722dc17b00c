"""A sweep, now: for whoever does not want to wait for the next look. Asking twice changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline_engine import logs
from pipeline_engine.admin.bearer import claims_of
from pipeline_engine.admin.refusal import Refusal
from pipeline_engine.cron import TIMETABLE, Sweep
from pipeline_engine.providers.tokens import ServiceTokens
from pipeline_engine.settings import Settings

Trigger = Callable[[Sweep], Awaitable[None]]

PATHS = {
    "deals.import": "/api/trigger/deals/import",
    "deals.automations": "/api/trigger/deals/automations",
    "funnels.clone": "/api/trigger/funnels/funnelClone",
}

log = logs.get(__name__)


def routes(settings: Settings, tokens: ServiceTokens, trigger: Trigger) -> Iterator[Route]:
    """One per sweep that people may ask for; none unless QM_HOOKS is on."""
    for sweep in TIMETABLE:
        if settings.qm_hooks and sweep.name in PATHS:
            yield Route(PATHS[sweep.name], _endpoint(sweep, settings, tokens, trigger), methods=["POST"])


def _endpoint(
    sweep: Sweep, settings: Settings, tokens: ServiceTokens, trigger: Trigger
) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def endpoint(request: Request) -> JSONResponse:
        who = claims_of(request, tokens).identity
        if not sweep.enabled(settings):
            raise Refusal(HTTPStatus.CONFLICT, "switched_off", f"{sweep.name} is switched off here")
        await trigger(sweep)
        log.info("sweep triggered", sweep=sweep.name, user=who.uid, account=who.account_id)
        return JSONResponse({"sweep": sweep.name, "status": "triggered"}, HTTPStatus.ACCEPTED)

    return endpoint
