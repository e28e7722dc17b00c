"""The General Socket service: whether it lets us in."""

from __future__ import annotations

from pipeline_engine.cli.doctor.finding import Finding
from pipeline_engine.clock import Clock
from pipeline_engine.providers.socket_client import SocketClient
from pipeline_engine.providers.sockets import ANSWER_TIMEOUT
from pipeline_engine.providers.tokens import ServiceTokens
from pipeline_engine.settings import Settings


async def check(settings: Settings) -> list[Finding]:
    if settings.socket_url is None:
        return [Finding.ok("sockets", "no SOCKET_URL: events are logged only")]
    if settings.app_secret is None:
        return []  # told among the settings
    try:
        token = ServiceTokens(settings.app_secret.get_secret_value(), Clock()).for_service()
        client = await SocketClient.connect(settings.socket_url, settings.socket_path, token, ANSWER_TIMEOUT)
    except Exception as error:  # the library lets out whatever a strange answer makes it stumble over
        return [Finding.failure("sockets", f"the service at SOCKET_URL: {type(error).__name__}: {error}")]
    await client.close()
    return [Finding.ok("sockets", f"the service at {settings.socket_url} lets us in")]
