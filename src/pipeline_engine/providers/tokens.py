"""Service tokens: signed claims that the CRM's other services believe. Held in memory, stored nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from jose import jwk, jws
from jose.exceptions import JWKError, JWSError

from pipeline_engine.clock import Clock
from pipeline_engine.errors import ConfigError
from pipeline_engine.providers.claims import TYPE, Claims, Identity, Rules, check_claims, check_header, parse, refuse
from pipeline_engine.settings import SHORTEST_SECRET

SEED_SCOPE = ("contacts", "communications", "contacts.external", "contacts.read", "contacts.create")
LIFETIME = 3600  # seconds
FRESH = 300  # a token with less than this left is not handed out again
MOST_HELD = 10_000  # tokens, about 1 KB each

ANY_RULES = Rules()
SERVICE = {"uid": "pipeline-engine", "account_id": None, "parent_account": None, "client_id": None}


class ServiceTokens:
    """Makes and checks tokens under one secret."""

    def __init__(self, secret: str, clock: Clock, rules: Rules = ANY_RULES) -> None:
        """`rules` apply to incoming tokens.

        Raises: ConfigError when the secret is too short, or is itself a public key or certificate.
        """
        if len(secret.encode()) < SHORTEST_SECRET:
            raise ConfigError(f"APP_SECRET: given (not shown): needs at least {SHORTEST_SECRET} bytes")
        try:
            # Built here and once: handed over as text, jose would guess from its looks what kind of key it is.
            self._key = jwk.construct(secret.encode(), "HS256")
        except JWKError:
            raise ConfigError("APP_SECRET: given (not shown): is a key or certificate that others may know") from None
        self._clock = clock
        self._rules = rules
        self._held: dict[tuple[Identity, str], tuple[str, float]] = {}

    def mint(self, identity: Identity, *needs: str) -> str:
        """A new token, good for an hour, with the seed's scope and what the call needs besides."""
        return self._sign(asdict(identity), _scope(needs))

    def for_service(self, *needs: str) -> str:
        """A new token that speaks for the engine itself. It names no account, so it opens no tenant's door."""
        return self._sign(SERVICE, _scope(needs))

    def for_user(self, identity: Identity, *needs: str) -> str:
        """A token that is good for five more minutes at least: the last one while it is, else a new one."""
        asked = identity, _scope(needs)
        now = self._clock.now().timestamp()
        token, expires_at = self._held.get(asked, ("", 0.0))
        if expires_at - now < FRESH:
            if len(self._held) >= MOST_HELD:
                self._held.clear()
            token = self.mint(identity, *needs)
            self._held[asked] = token, now + LIFETIME
        return token

    def verify(self, token: str) -> Claims:
        """What an incoming token says, once it is proven genuine, current and meant for us.

        Raises: TokenRefused.
        """
        check_header(token)
        try:
            content = jws.verify(token, self._key, algorithms=["HS256"])
        except JWSError:
            refuse("signature", "its signature is not ours")
        return check_claims(parse(content), self._clock.now(), self._rules)

    def _sign(self, who: Mapping[str, str | None], scope: str) -> str:
        now = int(self._clock.now().timestamp())
        claims = {"type": TYPE, **who, "scope": scope, "iat": now, "exp": now + LIFETIME}
        return jws.sign(claims, self._key, algorithm="HS256")


def _scope(needs: tuple[str, ...]) -> str:
    return " ".join(dict.fromkeys((*SEED_SCOPE, *needs)))
