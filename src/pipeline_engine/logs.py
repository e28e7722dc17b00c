"""structlog, set up once: JSON lines or a console, on stderr, with secrets and control characters taken out."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

SECRET_NAMES = re.compile(r"password|secret|token|authorization|api_?key|credential|cookie", re.I)
SECRET_SHAPES = re.compile(
    r"(?P<scheme>\w[\w+.-]*://)[^\s/@]*@"  # user:password@ in a URL
    r"|eyJ[\w-]{4,}\.[\w-]+\.[\w-]+"  # a JWT
    r"|(?<=[Bb]earer )\S+"
)
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
LONGEST = 2048
HIDDEN = "***"

Event = MutableMapping[str, Any]


def clean(text: str) -> str:
    """The text without secrets, control characters or more than 2 KB."""
    text = SECRET_SHAPES.sub(lambda hit: (hit["scheme"] or "") + HIDDEN + ("@" if hit["scheme"] else ""), text)
    text = CONTROL.sub(lambda hit: f"\\x{ord(hit[0]):02x}", text)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _redact(_logger: Any, _method: str, event: Event) -> Event:
    for name, value in event.items():
        # A fencing token is a small number and no secret.
        if SECRET_NAMES.search(name) and not isinstance(value, int):
            event[name] = HIDDEN
        elif isinstance(value, str):
            event[name] = clean(value)
        elif isinstance(value, (BaseException, list, tuple, dict, set)):
            event[name] = clean(str(value))
    return event


def configure(level: str = "INFO", style: Literal["json", "console"] = "json") -> None:
    """Send structlog and the standard library's logging through one chain to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
        _redact,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    _quieten()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _quieten() -> None:
    # Below WARNING these print every request, arguments included.
    for name in ("botocore", "boto3", "aiobotocore", "pymongo", "engineio", "socketio", "arq", "asyncio", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; keys of an event are data, never sentences."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
