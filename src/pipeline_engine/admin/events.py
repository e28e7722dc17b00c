"""`/api/v1/events`: users of the CRM, and programs with their tokens, publish an event of their account, or read one
that a webhook has only the ids of."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from bson import ObjectId
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline_engine import logs
from pipeline_engine.admin.access import Refusal, RefusedTokens, claims_of
from pipeline_engine.admin.posted_event import PostedEvent, is_repeat, read_posted
from pipeline_engine.app import App
from pipeline_engine.domain.events.publisher import Cause, EventPublisher, caused_by
from pipeline_engine.domain.webhooks.payload import MAX_ID_CHARS, content_of
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.providers.tokens import ServiceTokens

PATH = "/api/v1/events"
READ = "contacts.read"
"""The scope with which users of the CRM read contacts."""
PUBLISH = "contacts.create"
"""The scope with which users of the CRM create contacts, and import deals."""
MAX_REASON_CHARS = 1000

log = logs.get(__name__)


def routes(app: App, tokens: ServiceTokens) -> Iterator[Route]:
    """An event of another account is answered as one that does not exist."""
    refused = RefusedTokens()

    async def show(request: Request) -> JSONResponse:
        account_id = object_id(claims_of(request, tokens, READ, refused).identity.account_id)
        id = request.path_params["id"]
        event = await app.shared.crm_events.of_account(account_id, id) if account_id else None
        if event is None:
            why = f"there is no event {id[:MAX_ID_CHARS]} in this account"
            raise Refusal(HTTPStatus.NOT_FOUND, "event_not_found", why)
        return JSONResponse(content_of(event))

    async def publish(request: Request) -> JSONResponse:
        who = claims_of(request, tokens, PUBLISH, refused).identity
        account_id = object_id(who.account_id)
        if account_id is None:
            raise Refusal(HTTPStatus.FORBIDDEN, "no_account", "the token's account_id is no id of an account")
        posted = read_posted(request.headers.get("content-type", ""), await request.body())
        event_id = await _publish(app, account_id, object_id(who.uid) or who.uid, posted)
        log.info("event.posted", id=event_id, account_id=str(account_id), type=posted.type)
        return JSONResponse({"event_id": event_id}, HTTPStatus.ACCEPTED)

    yield Route(PATH, publish, methods=["POST"])
    yield Route(f"{PATH}/{{id:path}}", show, methods=["GET"])


async def _publish(app: App, account_id: ObjectId, user_id: object, posted: PostedEvent) -> str:
    """The id of the event, which is published now or was by the same request before."""
    content: dict[str, Any] = {**posted.content(), "cause": await _cause(app, account_id, posted)}
    own = {"user_id": user_id, **content}
    try:
        event_id = await EventPublisher(app).publish(account_id=account_id, id=posted.id, **own)
    except Permanent as error:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, str(error)[:MAX_REASON_CHARS]) from None
    if posted.id and not is_repeat(content, await app.shared.crm_events.of_account(account_id, event_id) or {}):
        reason = f"the event {posted.id} exists with other content: post this one under another id"
        raise Refusal(HTTPStatus.CONFLICT, "event_exists", reason)
    return event_id


async def _cause(app: App, account_id: ObjectId, posted: PostedEvent) -> Cause | None:
    """The cause as it is stored: how long the chain is follows from the event that is named."""
    if posted.cause is None:
        return None
    event = await app.shared.crm_events.of_account(account_id, posted.cause.event_id)
    if event is None:
        reason = f"cause.event_id: there is no event {posted.cause.event_id} in this account"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "cause_not_found", reason)
    return caused_by(event)
