"""A mail server that keeps the mails it receives and answers as its behaviour says.

Records: {sender, recipients, message, answer} per message, `message` as received (bytes as latin-1).
Behaviour: `recipients` and `messages`, lists of answers, used one by one for the next RCPT commands and the next
messages; after them, the answer is 250. An answer is a line such as "451 4.7.1 later" or, for messages, "cut": the
message is kept and the connection closed without an answer, so that the sender cannot know the outcome.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pipeline_engine.embedded.ports import HOST, listen
from pipeline_engine.embedded.records import Records

if TYPE_CHECKING:
    from aiohttp.web import AppRunner
    from aiosmtpd.smtp import SMTP, Envelope, Session

NAME = "sink.invalid"
ADDRESS = f"engine@{NAME}"
ACCEPTED = "250 OK"
CUT = "cut"


class SmtpSink:
    """Runs on the caller's event loop."""

    def __init__(self) -> None:
        self.records = Records(recipients=[], messages=[])
        self._port = 0
        self._sink_port = 0
        self._runner: AppRunner | None = None
        self._server: asyncio.Server | None = None

    def environment(self) -> dict[str, str]:
        return {
            "SMTP_URL": f"smtp://{HOST}:{self._port}",
            "SMTP_FROM": ADDRESS,
            "SMTP_SINK_URL": f"http://{HOST}:{self._sink_port}",
        }

    async def start(self) -> None:
        await asyncio.sleep(0)  # the programs can start while this one imports
        from aiohttp.web import Application
        from aiosmtpd.smtp import SMTP

        app = Application()
        self.records.attach(app)
        self._runner, self._sink_port = await listen(app)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: SMTP(self, hostname=NAME, loop=loop), HOST, 0)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self, _patience: float = 0) -> None:
        if self._server:
            self._server.close()
        if self._runner:
            await self._runner.cleanup()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self._next("recipients")
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self._next("messages")
        self.records.add(
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            message=bytes(envelope.original_content or b"").decode("latin-1"),
            answer=answer,
        )
        if answer == CUT and isinstance(server.transport, asyncio.Transport):
            server.transport.abort()
        return answer

    def _next(self, what: str) -> str:
        answers: list[Any] = self.records.behaviour[what]
        return str(answers.pop(0)) if answers else ACCEPTED
