"""structlog, set up once: JSON lines or a console, on stderr, with secrets and control characters taken out."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from itertools import islice
from typing import Any, Literal

import structlog

NAMES = (
    "passw|passphrase|secret|token|authorization|credential|cookie|signature|api[_-]?key|access[_-]?key|private[_-]?key"
)
SECRET_NAMES = re.compile(NAMES, re.IGNORECASE)
# What a secret looks like inside a text, and what stands there instead. Each begins with something rare, so that a long
# hostile text costs time in proportion to its length.
SECRET_SHAPES = (
    (re.compile(r"://[^\s/]{0,300}@"), "://***@"),  # user:password@ in a URL
    (re.compile(r"eyJ[\w-]{4,}(?:\.[\w-]*){0,2}"), "***"),  # a JWT, also one that was cut short
    (re.compile(r"\b(bearer|basic) +\S{8,}", re.IGNORECASE), r"\1 ***"),  # an Authorization header
    (  # name=value, or "name": "value"
        re.compile(
            rf"((?:{NAMES})[\w-]{{0,30}}(?:[\"']\s?:\s?|=))(?:\"[^\"]{{0,2000}}\"|'[^']{{0,2000}}'|[^\s&,;)}}\]]+)",
            re.IGNORECASE,
        ),
        r"\1***",
    ),
    (re.compile(r"(?<![\w.+-])[\w.+-]{1,256}@(?=\w)"), "***@"),  # an e-mail address; its domain stays
    (re.compile(r"\+\d[\d ()-]{6,18}\d"), "***"),  # a telephone number
)
# Also what ends a line in Unicode and what turns the direction of reading.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
LONGEST = 2048
READ_MOST = 32 * 1024  # of a longer text only the ends are looked at
DEEPEST, MOST_MEMBERS = 3, 20  # what is shown of a list or dictionary
HIDDEN = "***"

Event = MutableMapping[str, Any]


def clean(text: str) -> str:
    """The text without secrets, addresses and control characters; beyond 2 KB only its beginning and its end."""
    text = _ends(text, READ_MOST)
    for shape, instead in SECRET_SHAPES:
        text = shape.sub(instead, text)
    return _ends(CONTROL.sub(lambda hit: hit[0].encode("unicode_escape").decode(), text), LONGEST)


def _ends(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def _safe(name: str, value: Any, depth: int = 0) -> Any:
    # A fencing token, or how many tokens a rate has left, is a small number and no secret.
    counted = isinstance(value, int) and "token" in name
    if SECRET_NAMES.search(name) and not counted:
        return HIDDEN
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _safe_members(name, value, depth + 1)
    return clean(str(value))


def _safe_members(name: str, value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        return "…"
    members = islice(value.items() if isinstance(value, Mapping) else value, MOST_MEMBERS)
    safe: Any
    if isinstance(value, Mapping):
        safe = {clean(str(key)): _safe(str(key), member, depth) for key, member in members}
    else:
        safe = [_safe(name, member, depth) for member in members]
    if len(value) > MOST_MEMBERS or len(str(safe)) > LONGEST:
        return _ends(f"{safe} of {len(value)}", LONGEST)
    return safe


def _redact(_logger: Any, _method: str, event: Event) -> Event:
    for name, value in event.items():
        if not name.startswith("_"):  # structlog's own, which its formatter takes out again
            event[name] = _safe(name, value)
    return event


def _unfold(_logger: Any, _method: str, event: Event) -> Event:
    """A traceback over several lines again, each marked so that none can pass for a log line."""
    if "exception" in event:
        event["exception"] = event["exception"].replace("\\n", "\n    | ")
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
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()]
        if style == "json"
        else [_unfold, structlog.dev.ConsoleRenderer(colors=False)]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
            foreign_pre_chain=shared,
        )
    )
    # A record that cannot be formatted would be printed as it is, arguments included.
    logging.raiseExceptions = False
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
    for name in ("botocore", "boto3", "aiobotocore", "pymongo", "arq", "asyncio", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # These warn at every ordinary goodbye; what matters of a connection the socket provider logs itself.
    for name in ("engineio", "socketio"):
        logging.getLogger(name).setLevel(logging.ERROR)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; keys of an event are data, never sentences."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
