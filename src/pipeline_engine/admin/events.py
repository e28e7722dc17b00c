"""`/api/v1/events/{id}`: the whole of an event that a webhook has only the ids of, for users of its account."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline_engine.admin.access import Refusal, RefusedTokens, claims_of
from pipeline_engine.app import App
from pipeline_engine.domain.webhooks.payload import MAX_ID_CHARS, content_of
from pipeline_engine.ids import object_id
from pipeline_engine.providers.tokens import ServiceTokens

SCOPE = "contacts.read"
"""The scope with which users of the CRM read contacts."""


def routes(app: App, tokens: ServiceTokens) -> Iterator[Route]:
    """An event of another account is answered as one that does not exist."""
    refused = RefusedTokens()

    async def show(request: Request) -> JSONResponse:
        account_id = object_id(claims_of(request, tokens, SCOPE, refused).identity.account_id)
        id = request.path_params["id"]
        event = await app.shared.crm_events.of_account(account_id, id) if account_id else None
        if event is None:
            why = f"there is no event {id[:MAX_ID_CHARS]} in this account"
            raise Refusal(HTTPStatus.NOT_FOUND, "event_not_found", why)
        return JSONResponse(content_of(event))

    yield Route("/api/v1/events/{id:path}", show, methods=["GET"])
