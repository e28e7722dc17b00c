"""Service tokens: signed claims that the CRM's other services accept. Kept in memory, stored nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from jose import jwk, jws
from jose.exceptions import JWKError, JWSError

from pipeline_engine.clock import Clock
from pipeline_engine.errors import ConfigError
from pipeline_engine.providers.claims import TYPE, Claims, Identity, Rules, check_claims, check_header, parse, refuse
from pipeline_engine.settings import MIN_SECRET_BYTES

SEED_SCOPE = ("contacts", "communications", "contacts.external", "contacts.read", "contacts.create")
LIFETIME_SECONDS = 3600
MIN_REMAINING_SECONDS = 300  # a cached token with less is not returned again
MAX_CACHED_TOKENS = 10_000  # about 1 KB each

ANY_RULES = Rules()
SERVICE = {"uid": "pipeline-engine", "account_id": None, "parent_account": None, "client_id": None}


class ServiceTokens:
    """Signs and verifies tokens with one secret."""

    def __init__(self, secret: str, clock: Clock, rules: Rules = ANY_RULES) -> None:
        """`rules` apply to incoming tokens.

        Raises: ConfigError when the secret is too short, or is itself a public key or certificate.
        """
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise ConfigError(f"APP_SECRET: given (not shown): needs at least {MIN_SECRET_BYTES} bytes")
        try:
            # Given as text, jose would guess the kind of key from its format.
            self._key = jwk.construct(secret.encode(), "HS256")
        except JWKError:
            raise ConfigError("APP_SECRET: given (not shown): is a key or certificate that others may know") from None
        self._clock = clock
        self._rules = rules
        self._cached: dict[tuple[Identity, str], tuple[str, float]] = {}

    def mint(self, identity: Identity, *needs: str) -> str:
        """A new token, valid for an hour, with the seed's scope and the scopes that the call needs."""
        return self._sign(asdict(identity), _scope(needs))

    def for_service(self, *needs: str) -> str:
        """A new token for the engine itself. It names no account, so it gives access to no tenant's data."""
        return self._sign(SERVICE, _scope(needs))

    def for_user(self, identity: Identity, *needs: str) -> str:
        """A token that is valid for at least five more minutes: the cached one if it is, else a new one."""
        asked = identity, _scope(needs)
        now = self._clock.now().timestamp()
        token, expires_at = self._cached.get(asked, ("", 0.0))
        if expires_at - now < MIN_REMAINING_SECONDS:
            if len(self._cached) >= MAX_CACHED_TOKENS:
                self._cached.clear()
            token = self.mint(identity, *needs)
            self._cached[asked] = token, now + LIFETIME_SECONDS
        return token

    def verify(self, token: str) -> Claims:
        """The claims of an incoming token whose signature, times and audience are right.

        Raises: TokenRefused.
        """
        check_header(token)
        try:
            content = jws.verify(token, self._key, algorithms=["HS256"])
        except JWSError:
            refuse("signature", "its signature is wrong")
        return check_claims(parse(content), self._clock.now(), self._rules)

    def _sign(self, who: Mapping[str, str | None], scope: str) -> str:
        now = int(self._clock.now().timestamp())
        claims = {"type": TYPE, **who, "scope": scope, "iat": now, "exp": now + LIFETIME_SECONDS}
        return jws.sign(claims, self._key, algorithm="HS256")


def _scope(needs: tuple[str, ...]) -> str:
    return " ".join(dict.fromkeys((*SEED_SCOPE, *needs)))
