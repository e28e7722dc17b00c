"""A text that a person sent to the number that SMS come from: what it means, and which accounts it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.messages.addresses import address_hash
from pipeline_engine.domain.messages.known_leads import known_leads
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.ids import derived_id, object_id
from pipeline_engine.providers.phone_number import phone_spellings

Meaning = Literal["stop", "start", "help", "reply"]

STOP = frozenset(
    (
        *("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "optout", "revoke"),
        *("stopp", "arret", "arrêt", "arreter", "arrêter"),
    )
)
"""The words of Twilio and of the FCC, which carriers must know, and some of other languages."""
START = frozenset(("start", "unstop", "yes"))
"""`yes` re-opens only what STOP closed; else it is a reply."""
HELP = frozenset(("help", "info"))
MAX_ACCOUNTS = 1000
STOPPED = "stop"
"""The reason of a suppression by STOP."""


@dataclass(frozen=True)
class InboundText:
    """`sid`: the provider's id of the text; `number`: the sender's, in E.164. `taken_for`: STOP, START or HELP where
    the provider's own opt-out management, which may have words of its own, has acted on the text."""

    sid: str
    number: str
    body: str
    taken_for: str = ""

    @property
    def meaning(self) -> Meaning:
        """As the provider took it, else by the words that carriers know; a sentence is always a reply."""
        said = self.taken_for if self.taken_for.casefold() in ("stop", "start", "help") else self.body
        word = "".join(filter(str.isalnum, said.casefold()))
        return "stop" if word in STOP else "start" if word in START else "help" if word in HELP else "reply"


async def wishes(app: App, text: InboundText) -> list[OptOut]:
    """The number as each account that texted it, or knows it, would suppress it: one number serves all of them. The
    account that texted it last comes first."""
    texted = await app.shared.effects.accounts_that_texted(_hash(app, text), MAX_ACCOUNTS)
    known = await app.shared.people.accounts_with_phone(phone_spellings(text.number))
    ids = dict.fromkeys(id for one in [*texted, *sorted(known, key=str)] if (id := object_id(one)))
    return [OptOut(id, "sms", text.number, "text", await _country(app, id)) for id in ids]


async def start_again(app: App, text: InboundText, concerned: Sequence[OptOut]) -> int:
    """Lift what STOP suppressed. Returns how many suppressions that were."""
    hash = _hash(app, text)
    return sum([await app.shared.suppressions.lift(one.account_id, "sms", hash, STOPPED) for one in concerned])


async def reply(app: App, text: InboundText, concerned: Sequence[OptOut]) -> int:
    """Insert a response for each lead with the number, of the account that texted it last; where none did, of all that
    know it. Returns how many leads there are. A repeat inserts nothing."""
    texted = await app.shared.effects.accounts_that_texted(_hash(app, text), 1)
    answered = [one for one in concerned if not texted or one.account_id == object_id(texted[0])]
    rows = [row for one in answered for row in await _responses(app, text, one)]
    await app.shared.people.add_responses(rows)
    return len(rows)


async def _responses(app: App, text: InboundText, wish: OptOut) -> list[dict[str, Any]]:
    own = {"account_id": wish.account_id, "channel": "sms", "received_at": app.clock.now(), "text": text.body}
    return [
        {"_id": derived_id("lead_response", text.sid, lead), "lead_id": lead, "message_id": text.sid, **own}
        for lead in await known_leads(app, wish)
    ]


async def _country(app: App, account_id: ObjectId) -> object:
    return (await app.shared.accounts.get(account_id)).get("country")


def _hash(app: App, text: InboundText) -> str:
    return address_hash(app.recipients_key, text.number)
