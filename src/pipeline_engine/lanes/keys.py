"""Every Redis key of the lanes. The Lua scripts build the same names from a lane's stem.

<prefix><lane>:inbox      zset  jobs enqueued by arq's own client, until a script adopts them
<prefix><lane>:jobs       hash  id -> sealed payload; a job whose id is here waits or runs, so it is not enqueued again
<prefix><lane>:high|normal|low  zset  ids ready to run, by the microsecond of their arrival
<prefix><lane>:priority   hash  id -> high|low, only for jobs that are not normal
<prefix><lane>:delayed    zset  id -> ms at which it is due
<prefix><lane>:active     zset  id -> ms at which its lease ends
<prefix><lane>:owners     hash  id -> token of the claim that holds it
<prefix><lane>:parked     hash  id -> function that the claiming daemon did not know
<prefix><lane>:state      hash  id -> sealed retry state, only for jobs that have failed
<prefix><lane>:crashes    hash  id -> processes that ended in a row while it ran
<prefix><lane>:next       hash  id -> newer job (debounce, latest) that starts when the run of this id has ended
<prefix><lane>:links      hash  id -> chains and groups that wait for this job, also while it is a dead letter
<prefix><lane>:progress   hash  id -> done/total, as its handler noted
<prefix><lane>:rate       list  ms of the last starts, newest first, only for lanes with a rate
<prefix><lane>:paused     string, exists while the lane is paused
<prefix><lane>:minutes:<hour>   hash  <minute>:<what> -> count, for charts; kept 25 hours
<prefix><lane>:set_aside:<part>  a key that held another type than above; kept 7 days
<prefix>group:<lane>:<id>  hash  '' -> final job, member -> 1 while it has not ended
<prefix>doorbell          pub/sub channel
<prefix>mark:<daemon>     string, missing when Redis has lost its data
<prefix>spent:<account>:<name>  zset  grants of the last minute to an account
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Names under one prefix. Every key expires `ttl` seconds after its last write; None: no key expires."""

    prefix: str = "pe:"
    ttl: int | None = None

    @property
    def doorbell(self) -> str:
        """The channel on which `enqueue` wakes the daemons that sleep on a lane."""
        return f"{self.prefix}doorbell"

    @property
    def ttl_ms(self) -> int:
        """`ttl` as the scripts take it: in ms, 0 for None."""
        return (self.ttl or 0) * 1000

    def stem(self, lane: str) -> str:
        """The beginning of every key of a lane."""
        return f"{self.prefix}{lane}:"

    def mark(self, name: str) -> str:
        """The key whose absence shows that Redis has lost its data."""
        return f"{self.prefix}mark:{name}"

    def inbox(self, lane: str) -> str:
        """The queue name for arq's own client (`default_queue_name`)."""
        return self.stem(lane) + "inbox"

    def group(self, lane: str, final_id: str) -> str:
        """The members that a final job waits for."""
        return f"{self.prefix}group:{lane}:{final_id}"

    def minutes(self, lane: str, hour: int) -> str:
        """The counts per minute of one hour (hours since 1970)."""
        return f"{self.stem(lane)}minutes:{hour}"
