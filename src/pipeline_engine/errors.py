"""Every error the engine raises on purpose, as one tree.

EngineError
├── ConfigError      a setting is missing or wrong; the program ends with 2
├── Unreachable      a server does not answer; the program ends with 3
├── Transient        the same call may go through later: retried as the lane says
├── RateLimited      not now: comes back after `retry_after` without using up an attempt
├── Unknown          nobody knows whether the call took effect: the policy of its channel decides
├── Permanent        no repeat can help: goes to the dead letters at once
└── LeaseLost            somebody else holds the unit now: this run changes nothing more
"""

from __future__ import annotations


class EngineError(Exception):
    """Anything the engine raises on purpose."""


class ConfigError(EngineError):
    """A setting is missing or wrong. The message names it, what was given and what is allowed."""


class Unreachable(EngineError):
    """A server does not answer. The message names the setting that points at it."""


class Transient(EngineError):
    """The same call may go through later."""


class Unknown(EngineError):
    """The call may have taken effect, and nobody knows."""


class RateLimited(EngineError):
    """The other side, or our own limit, says: not now."""

    def __init__(self, retry_after: float, message: str = "rate limited") -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(EngineError):
    """No repeat can help. `code` is a short stable word for programs, the message is for people."""

    def __init__(self, message: str, code: str = "permanent") -> None:
        super().__init__(message)
        self.code = code


class LeaseLost(EngineError):
    """The lease went to somebody else; whatever this run still holds is void."""
