"""Every Redis key of the lanes, in one place. The Lua scripts make the same names from a lane's stem.

<prefix><lane>:inbox      zset  what arq's own client writes, until a script adopts it
<prefix><lane>:jobs       hash  id -> sealed payload; an id that is here is waiting or running, so it is not taken again
<prefix><lane>:high|normal|low  zset  ids ready to run, by the microsecond they got in line
<prefix><lane>:priority   hash  id -> high|low, only for jobs that are not normal
<prefix><lane>:delayed    zset  id -> ms at which it is due
<prefix><lane>:active     zset  id -> ms at which its lease ends
<prefix><lane>:owners     hash  id -> token of the claim that holds it
<prefix><lane>:parked     hash  id -> function that the daemon which claimed it did not know
<prefix><lane>:state      hash  id -> attempts and errors, only for jobs that failed before
<prefix><lane>:crashes    hash  id -> processes it took down in a row
<prefix><lane>:rate       list  ms of the last starts, newest first, only for lanes with a rate
<prefix><lane>:paused     string, there while the lane is paused
<prefix><lane>:minutes:<hour>   hash  <minute>:<what> -> count, for charts; kept 25 hours
<prefix>doorbell          pub/sub channel
<prefix>mark:<daemon>     string, gone when Redis has forgotten everything
<prefix>spent:<account>:<name>  zset  what an account with a limit was granted in the last minute
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Names under one prefix. `ttl` (seconds): every key goes away that long after its last write; None keeps it."""

    prefix: str = "pe:"
    ttl: int | None = None

    @property
    def doorbell(self) -> str:
        """The channel on which `enqueue` tells sleeping daemons that a lane has work."""
        return f"{self.prefix}doorbell"

    @property
    def ttl_ms(self) -> int:
        """`ttl` as the scripts take it: ms, 0 for none."""
        return (self.ttl or 0) * 1000

    def stem(self, lane: str) -> str:
        """What all keys of a lane begin with."""
        return f"{self.prefix}{lane}:"

    def mark(self, name: str) -> str:
        """What tells by its absence that Redis has forgotten everything."""
        return f"{self.prefix}mark:{name}"

    def inbox(self, lane: str) -> str:
        """The queue name to give to arq's client (`default_queue_name`)."""
        return self.stem(lane) + "inbox"

    def minutes(self, lane: str, hour: int) -> str:
        """The roll-ups of one hour (hours since 1970)."""
        return f"{self.stem(lane)}minutes:{hour}"
