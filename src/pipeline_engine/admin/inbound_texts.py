"""`/hooks/twilio/sms`: Twilio reports each text that comes in. STOP suppresses, START re-opens, other texts are replies
of leads."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline_engine import logs
from pipeline_engine.admin.access import Refusal
from pipeline_engine.app import App
from pipeline_engine.domain.messages.inbound_text import STOPPED, InboundText, reply, start_again, wishes
from pipeline_engine.workers.opt_out import opt_out

PATH = "/hooks/twilio/sms"
HELP = "Reply STOP to get no more of these messages, START to get them again."
ANSWER = '<?xml version="1.0" encoding="UTF-8"?><Response>{}</Response>'

log = logs.get(__name__)


def routes(app: App) -> Iterator[Route]:
    """The door for Twilio, which signs each request with TWILIO_AUTH_TOKEN."""

    async def receive(request: Request) -> Response:
        fields = dict(parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True))
        _check_signature(app, request, fields)
        if not fields.get("MessageSid") or not fields.get("From"):
            raise Refusal(HTTPStatus.BAD_REQUEST, "bad_request", "MessageSid and From are wanted")
        text = InboundText(
            fields["MessageSid"], fields["From"].strip(), fields.get("Body", ""), fields.get("OptOutType", "")
        )
        answer = await _take(app, text)
        # With its own opt-out management, Twilio has answered already and says so in OptOutType.
        answer = f"<Message>{answer}</Message>" if answer and not text.taken_for else ""
        return Response(ANSWER.format(answer), media_type="text/xml")

    yield Route(PATH, receive, methods=["POST"])


async def _take(app: App, text: InboundText) -> str:
    """Returns the text to answer with; empty for none."""
    meaning, concerned = text.meaning, await wishes(app, text)
    done = 0
    if meaning == "stop":
        for wish in concerned:
            await opt_out(app, wish, STOPPED)
    elif meaning == "start":
        done = await start_again(app, text, concerned)
    if meaning == "reply" or (meaning == "start" and not done):
        done = await reply(app, text, concerned)
    log.info("text.received", sid=text.sid, meaning=meaning, accounts=len(concerned), done=done)
    return HELP if meaning == "help" else ""


def _check_signature(app: App, request: Request, fields: Mapping[str, str]) -> None:
    """Raises: Refusal 403 unless the request is signed by Twilio, for the address at which it was sent or for that
    under PUBLIC_URL, which a proxy may have changed."""
    token, public = app.settings.twilio_auth_token, app.settings.public_url or ""
    given = request.headers.get("x-twilio-signature", "")
    outside = f"{public.rstrip('/')}{PATH}" + (f"?{request.url.query}" if request.url.query else "")
    addresses = [str(request.url), *([outside] if public else [])]
    expected = [signature(token.get_secret_value(), one, fields) for one in addresses] if token else []
    if not any(hmac.compare_digest(one.encode(), given.encode()) for one in expected):
        log.warning("text.refused", address=request.client.host if request.client else "")
        raise Refusal(HTTPStatus.FORBIDDEN, "bad_signature", "X-Twilio-Signature is not that of this request")


def signature(token: str, url: str, fields: Mapping[str, str]) -> str:
    """Twilio's: HMAC-SHA1 over the address and every field with its value, in the order of their names."""
    content = url + "".join(f"{name}{fields[name]}" for name in sorted(fields))
    return b64encode(hmac.digest(token.encode(), content.encode(), "sha1")).decode()
