"""A token endpoint on loopback: Authlib's authorization server with rotation of refresh tokens, which misbehaves as the
test sets it."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, TokenMixin
from authlib.oauth2.rfc6749.grants import RefreshTokenGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload, OAuth2Request

from tests.support.stand_ins.stand_in import Call, Document, StandIn

CLIENT_ID, CLIENT_SECRET = "the client: 1", "s3cr3t & more of it"


class _Client(ClientMixin):  # type: ignore[misc]
    def __init__(self, method: str) -> None:
        self.method = method

    def get_client_id(self) -> str:
        return CLIENT_ID

    def check_client_secret(self, secret: str) -> bool:
        return secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == self.method

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "refresh_token"


@dataclass
class _Issued(TokenMixin):  # type: ignore[misc]
    refresh_token: str
    revoked: bool = False

    def check_client(self, client: _Client) -> bool:
        return client.get_client_id() == CLIENT_ID

    def get_scope(self) -> str:
        return ""


class _Refresh(RefreshTokenGrant):  # type: ignore[misc]
    INCLUDE_NEW_REFRESH_TOKEN = True
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_post", "client_secret_basic")

    def authenticate_refresh_token(self, refresh_token: str) -> _Issued | None:
        issued: _Issued | None = self.server.endpoint.issued.get(refresh_token)
        return issued if issued and not issued.revoked else None

    def authenticate_user(self, _token: _Issued) -> str:
        return "a user"

    def revoke_old_credential(self, token: _Issued) -> None:
        token.revoked = self.server.endpoint.rotates


class _Server(AuthorizationServer):  # type: ignore[misc]
    def __init__(self, endpoint: TokenEndpoint) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.register_token_generator("default", self._generate)
        self.register_grant(_Refresh)

    def query_client(self, client_id: str) -> _Client | None:
        return _Client(self.endpoint.method) if client_id == CLIENT_ID else None

    def save_token(self, token: Document, _request: OAuth2Request) -> None:
        self.endpoint.access_tokens.append(token["access_token"])

    def create_oauth2_request(self, call: Call) -> OAuth2Request:
        request = OAuth2Request("POST", "https://loopback/token", headers=call.headers)
        request.payload = BasicOAuth2Payload(call.content)
        request._body = call.content
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=dict(headers))

    def send_signal(self, *_arguments: Any, **_options: Any) -> None:
        return

    def _generate(self, include_refresh_token: bool = True, **_about: Any) -> Document:
        token: Document = {"access_token": self.endpoint.secret("access"), "token_type": "Bearer"}
        if self.endpoint.expires_in is not None:
            token["expires_in"] = self.endpoint.expires_in
        return {**token, "refresh_token": self.endpoint.grant()} if self.endpoint.rotates else token


class TokenEndpoint(StandIn):
    """`grant()` issues a refresh token. `calls` are all requests, `access_tokens` what was issued."""

    def __init__(self) -> None:
        super().__init__()
        self.issued: dict[str, _Issued] = {}
        self.access_tokens: list[str] = []
        self.secrets: list[str] = []
        self.rotates = True
        self.expires_in: object = 3600
        self.method = "client_secret_post"
        self._server = _Server(self)

    def secret(self, kind: str) -> str:
        """A new secret, remembered so that a test can look for it."""
        self.secrets.append(f"{kind}-{secrets.token_urlsafe(24)}")
        return self.secrets[-1]

    def grant(self) -> str:
        token = self.secret("refresh")
        self.issued[token] = _Issued(token)
        return token

    def revoke(self) -> None:
        for one in self.issued.values():
            one.revoked = True

    async def read(self, request: web.Request) -> Document:
        return {name: str(value) for name, value in (await request.post()).items()}

    def do(self, call: Call) -> web.Response:
        answer: web.Response = self._server.create_token_response(call)
        return answer
