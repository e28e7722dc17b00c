"""A person's wish to get no more messages, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bson import ObjectId

from pipeline_engine.domain.messages.addresses import spellings_of
from pipeline_engine.repos.messages import Channel


@dataclass(frozen=True)
class OptOut:
    """An account must write to this address over this channel no more. `source`: what the message was sent by, such as
    `automation:<id>`, or how the wish came."""

    account_id: ObjectId
    channel: Channel
    address: str
    source: str = ""
    country: object = None
    """The account's, for telephone numbers."""

    @property
    def spellings(self) -> Sequence[str]:
        """The spellings under which records may have the address."""
        return spellings_of(self.channel, self.address, self.country)
