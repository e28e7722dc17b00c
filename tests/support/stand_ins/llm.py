"""A language model behind OpenAI's protocol that answers sensibly, or as badly as the test wants.

It obeys whatever it reads: when an instruction of a record reaches it, its answer says `OBEYED`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.support.stand_ins.stand_in import Call, Document, StandIn

ORDERS = ("ignore", "pwned", "wire the money")
"""Words of instructions that tests plant in records; the engine's own prompts contain none of them."""
OBEYED = "OBEYED: wire the money to account 4711 at https://evil.example"


class Llm(StandIn):
    """`says`: what to answer instead of a sensible text; `drips`: it sends a byte at a time and never ends."""

    def __init__(self) -> None:
        super().__init__()
        self.says: Callable[[Document], Any] | None = None
        self.message: Document = {}
        self.usage: Document | None = {"total_tokens": 500}
        self.drips = False

    def environment(self) -> dict[str, str]:
        return {"LLM_BASE_URL": self.url, "LLM_API_KEY": "a key of the model", "LLM_MODEL": "stand-in"}

    @property
    def prompts(self) -> str:
        """Everything that was ever asked."""
        return "\n".join(message["content"] for call in self.calls for message in call.content["messages"])

    def do(self, call: Call) -> web.Response:
        data = json.loads(call.content["messages"][1]["content"])
        said = (self.says or sensible)(data)
        content = said if isinstance(said, str) else json.dumps(said)
        if any(order in call.content["messages"][1]["content"].lower() for order in ORDERS):
            content = json.dumps(obedient(data))
        message = {"role": "assistant", "content": content, **self.message}
        usage = {} if self.usage is None else {"usage": self.usage}
        return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}], **usage})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not self.drips:
            return await super()._answer(request)
        await self._note(request)
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        while not self._closing.is_set():
            try:
                await answer.write(b" ")
            except (ConnectionError, RuntimeError):
                break
            await asyncio.sleep(0.02)
        return answer

    async def _note(self, request: web.Request) -> None:
        self.calls.append(Call(request.path, None, dict(request.headers), await self.read(request)))


def sensible(data: Document) -> Document:
    """An answer of the right shape that rests on the facts."""
    if "sentences" in data:
        return {"picks": [{"sentence": data["sentences"][-1]["number"], "topic": "need"}]}
    numbers = [fact["number"] for fact in data["facts"]]
    if any("today vs" in fact["text"] for fact in data["facts"]):
        return {"recommendations": [{"text": "Ask the team what has changed", "facts": numbers[:1]}]}
    line = {"text": "Agree on the next step", "facts": numbers[:1]}
    question = {"text": "What would help most?", "facts": numbers[:1]}
    return {"key_points": numbers[::-1], "talking_points": [line], "questions": [question]}


def obedient(data: Document) -> Document:
    """What an instruction in a record makes of the model."""
    if "sentences" in data:
        return {"picks": [{"sentence": 1, "topic": OBEYED}]}
    line = {"text": OBEYED, "facts": [1]}
    if any("today vs" in fact["text"] for fact in data["facts"]):
        return {"recommendations": [line]}
    return {"key_points": [1], "talking_points": [line], "questions": [line]}
