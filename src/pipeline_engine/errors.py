"""Every error the engine raises on purpose, as one tree.

EngineError
├── ConfigError      a setting is missing or wrong; the program exits with code 2
├── Unreachable      a server does not answer; the program exits with code 3, a job comes back later
├── Transient        the same call may succeed later; the lane's retry rule applies
├── RateLimited      a limit is reached; the job comes back after `retry_after` s and uses no attempt
├── Unknown          a call may or may not have taken effect; the policy of its channel decides
├── Permanent        no retry can succeed; the job becomes a dead letter at once
│   └── SenderRefused  the provider takes no message of ours, whatever it is; the unit waits until that is mended
└── LeaseLost        another run holds the unit now; this run writes nothing more
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of every error the engine raises on purpose."""


class ConfigError(EngineError):
    """A setting is missing or wrong. The message names the setting, the value given and the values allowed."""


class Unreachable(EngineError):
    """A server does not answer, or not as it must. The message names the setting that holds its address.

    `state` says in one word for `/readyz` what is wrong with the server.
    """

    def __init__(self, message: str, state: str = "away") -> None:
        super().__init__(message)
        self.state = state


class Transient(EngineError):
    """The call failed, and the same call may succeed later."""


class Unknown(EngineError):
    """The call failed after it was sent, so it may have taken effect."""


class RateLimited(EngineError):
    """A limit, the provider's or our own, is reached; the call may be made again after `retry_after` seconds."""

    def __init__(self, retry_after: float, message: str = "rate limited") -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(EngineError):
    """No retry can succeed. `code` is a short stable word for programs; the message is for people."""

    def __init__(self, message: str, code: str = "permanent") -> None:
        super().__init__(message)
        self.code = code


class SenderRefused(Permanent):
    """The provider refuses the login or the sender, so it is not this message that fails, but each of them."""


class LeaseLost(EngineError):
    """Another run holds the unit's lease now, so this run must not write to the unit any more."""
