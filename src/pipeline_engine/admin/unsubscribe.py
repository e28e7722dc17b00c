"""`/u/{token}`: the page behind the link to unsubscribe in a mail. GET shows a button, POST unsubscribes at once.

Every token gets the same status, headers and page, so that a stranger learns nothing from them.
"""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from pipeline_engine.app import App
from pipeline_engine.domain.messages.unsubscribe import read_token
from pipeline_engine.workers.opt_out import opt_out

PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex">'
    '<meta name="viewport" content="width=device-width"><title>Unsubscribe</title></head><body>{}</body></html>'
)
ASK = PAGE.format(
    "<p>Do you want to get no more of these e-mails?</p>"
    '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
    '<button type="submit">Unsubscribe</button></form>'
)
DONE = PAGE.format("<p>You are unsubscribed. You will get no more of these e-mails.</p>")
HEADERS = {"Referrer-Policy": "no-referrer"}
"""The address of the page holds the token."""


def routes(app: App) -> Iterator[Route]:
    """The public page. A POST takes no cookie and no login, as RFC 8058 wants it."""

    async def ask(_request: Request) -> Response:
        return HTMLResponse(ASK, headers=HEADERS)

    async def act(request: Request) -> Response:
        await app.server.now()  # so that an outage of MongoDB shows with every token, or with none
        if wish := read_token(app.recipients_key, request.path_params["token"]):
            await opt_out(app, wish)
        return HTMLResponse(DONE, headers=HEADERS)

    yield Route("/u/{token}", ask, methods=["GET"])
    yield Route("/u/{token}", act, methods=["POST"])
