"""What every message has to keep to, whatever system sends it: suppressions, and the account's send window.

`decide` says for each receiver whether the message may go out now. A message outside the window is held: it is due
again when the window opens, and decided again then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.messages.addresses import normal_address, spellings_of
from pipeline_engine.domain.messages.recipients import recipients
from pipeline_engine.domain.messages.send_window import Opening, SendWindow, read_send_window
from pipeline_engine.errors import Permanent, RateLimited
from pipeline_engine.ids import fingerprint
from pipeline_engine.repos.messages import Channel

SPREAD = timedelta(minutes=15)
"""For so long after the opening go out the messages that were held, so that they do not come all at once."""
MISTAKE_REST = timedelta(hours=1)
"""After this time a message is decided again whose window cannot be read, or never opens."""
UTC_ZONE = ZoneInfo("UTC")


@dataclass(frozen=True)
class Receiver:
    """`given` is the address as the record has it; `timezone` the name of the zone, if the record has one."""

    given: object
    timezone: object = None


@dataclass(frozen=True)
class SendRules:
    """What the account says: its zone, its country, and its window; a reason where that cannot be read."""

    zone: ZoneInfo
    country: object
    window: SendWindow | Permanent | None


class Held(RateLimited):
    """The window is closed for this receiver; the text says why and until when."""

    def __init__(self, reason: str, opening: Opening, now: datetime) -> None:
        super().__init__(max(0.0, (opening.begins - now).total_seconds()), reason)
        self.opening = opening

    def due_at(self, key: str) -> datetime:
        """When the message of this key is due again: its own moment in the first 15 minutes of the opening, or in the
        first half of a shorter one."""
        spread = min(SPREAD, (self.opening.ends - self.opening.begins) / 2)
        share = int.from_bytes(fingerprint("spread", key, size=4), "big") / 2**32
        return self.opening.begins + timedelta(seconds=round(spread.total_seconds() * share, 3))


def read_rules(account: Mapping[str, Any], profile: Mapping[str, Any]) -> SendRules:
    """The rules of an account, from its document and its business profile."""
    zone = zone_named(profile.get("timezone")) or zone_named(account.get("timezone")) or UTC_ZONE
    country = account.get("country")
    try:
        return SendRules(zone, country, read_send_window(profile.get("send_window"), country))
    except Permanent as fault:
        return SendRules(zone, country, fault)


def held_at(rules: SendRules, timezone: object, now: datetime) -> Held | None:
    """Why a message to a receiver in this zone has to wait now; None when it may go out. One whose window cannot be
    read waits: a message at the wrong hour cannot be taken back."""
    if rules.window is None:
        return None
    if isinstance(rules.window, Permanent):
        return _mistake(str(rules.window), now)
    zone = (zone_named(timezone) if rules.window.by_contact else None) or rules.zone
    opening = rules.window.next_opening(now, zone)
    if opening is None:
        return _mistake("the send window does not open within 30 days", now)
    if opening.begins <= now:
        return None
    local = opening.begins.astimezone(zone)
    return Held(f"held: the send window opens on {local:%Y-%m-%d at %H:%M} ({zone.key})", opening, now)


def zone_named(name: object) -> ZoneInfo | None:
    """The zone of this IANA name; None when there is none."""
    try:
        return ZoneInfo(name) if isinstance(name, str) and name else None
    except (LookupError, ValueError, OSError):
        return None


def _mistake(reason: str, now: datetime) -> Held:
    later = now + MISTAKE_REST
    return Held(f"held: {reason}", Opening(later, later + MISTAKE_REST), now)


async def decide(
    app: App, account_id: ObjectId, channel: Channel, rules: SendRules, receivers: Sequence[Receiver]
) -> list[str | Permanent | Held]:
    """For each receiver, in their order, the address to write to now, or why that must not be done: never (Permanent),
    or not before the window opens (Held). Costs one query; another one only where a window goes by the receivers'
    zones and their records name none."""
    to = await recipients(app, account_id, channel, [one.given for one in receivers], rules.country)
    zones = await _zones(app, account_id, channel, rules, receivers, to)
    now = app.clock.now()
    return [
        address if isinstance(address, Permanent) else held_at(rules, zone, now) or address
        for address, zone in zip(to, zones, strict=True)
    ]


async def _zones(
    app: App,
    account_id: ObjectId,
    channel: Channel,
    rules: SendRules,
    receivers: Sequence[Receiver],
    to: Sequence[str | Permanent],
) -> Sequence[object]:
    """The zones that the receivers' records name, else those of the contacts with their addresses."""
    own = [one.timezone for one in receivers]
    unknown = [one for one, zone in zip(to, own, strict=True) if zone is None and isinstance(one, str)]
    if not unknown or not isinstance(rules.window, SendWindow) or not rules.window.by_contact:
        return own
    spellings = [form for one in unknown for form in spellings_of(channel, one, rules.country)]
    contacts = await app.shared.people.contacts(account_id, channel, spellings)
    field = "email" if channel == "email" else "phone"
    known = {normal_address(channel, str(one.get(field)), rules.country): one.get("timezone") for one in contacts}
    return [
        known.get(normal_address(channel, one, rules.country)) if zone is None and isinstance(one, str) else zone
        for one, zone in zip(to, own, strict=True)
    ]
