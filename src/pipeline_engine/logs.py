"""Logging by structlog to stderr, as JSON lines or for a console. Secrets and control characters are removed."""

from __future__ import annotations

import logging
import re
import sys
from base64 import b64encode
from collections.abc import Mapping, MutableMapping
from itertools import islice
from typing import Any, Literal
from urllib.parse import quote

import structlog

NAMES = (
    "passw|passphrase|secret|token|authorization|credential|cookie|signature|api[_-]?key|access[_-]?key|private[_-]?key"
)
HEADERS = "(?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]{0,20}(?:key|token)"
SECRET_NAMES = re.compile(NAMES, re.IGNORECASE)
# Patterns of secrets inside a text, each with its replacement. Each begins with something rare, so that the time for a
# hostile text grows only in proportion to its length.
SECRET_SHAPES = (
    (re.compile(r"://[^\s/]{0,300}@"), "://***@"),  # user:password@ in a URL
    (re.compile(r"eyJ[\w-]{4,}(?:\.[\w-]*){0,2}"), "***"),  # a JWT, also one that was cut short
    (
        re.compile(r"\b(bearer|basic)(?: |%20|\+)+[^\s\"',;}]{8,}", re.IGNORECASE),
        r"\1 ***",
    ),  # a credential with its scheme
    (  # a header, whose scheme stays
        re.compile(rf"\b((?:{HEADERS})\s?:\s?(?:(?:basic|bearer|token|digest|apikey) )?)[^\s\"']+", re.IGNORECASE),
        r"\1***",
    ),
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
# Includes Unicode's line separators and the characters that change the direction of writing.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
MAX_LOGGED_CHARS = 2048
MAX_SCANNED_CHARS = 32 * 1024  # of a longer text, only the two ends are scanned
MAX_DEPTH, MAX_MEMBERS = 3, 20  # of a list or dictionary that is logged
HIDDEN = "***"
MIN_SECRET_CHARS = 8  # a shorter one could be any word of a text

Event = MutableMapping[str, Any]

_secrets: tuple[str, ...] = ()


def hide_secrets(*secrets: str) -> None:
    """From now on `clean` removes these texts wherever they stand, also URL-quoted and in base64.

    Called with whatever secret the process comes to hold; of fewer than 8 characters, a secret is not looked for.
    """
    global _secrets
    long = [secret for secret in secrets if len(secret) >= MIN_SECRET_CHARS]
    forms = {form for one in long for form in (one, quote(one, safe=""), b64encode(one.encode()).decode().rstrip("="))}
    _secrets = tuple(sorted({*_secrets, *forms}, key=len, reverse=True))


def clean(text: str) -> str:
    """The text without secrets, addresses and control characters; of more than 2,048 characters, only both ends."""
    text = _ends(text, MAX_SCANNED_CHARS)
    for secret in _secrets:
        text = text.replace(secret, HIDDEN)
    for shape, replacement in SECRET_SHAPES:
        text = shape.sub(replacement, text)
    return _ends(visible(text), MAX_LOGGED_CHARS)


def visible(text: str) -> str:
    """The text with control characters spelled out, so that no terminal obeys them and no line looks like another."""
    return CONTROL.sub(lambda hit: hit[0].encode("unicode_escape").decode(), text)


def _ends(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"{text[: max_chars // 2]} … {text[-max_chars // 2 :]}"


def _safe(name: str, value: Any, depth: int = 0) -> Any:
    # A fencing token, or the tokens that a rate has left, are numbers and no secrets.
    counted = isinstance(value, int) and "token" in name
    if SECRET_NAMES.search(name) and not counted:
        return HIDDEN
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _safe_members(name, value, depth + 1)
    return clean(str(value))


def _safe_members(name: str, value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return "…"
    members = islice(value.items() if isinstance(value, Mapping) else value, MAX_MEMBERS)
    safe: Any
    if isinstance(value, Mapping):
        safe = {clean(str(key)): _safe(str(key), member, depth) for key, member in members}
    else:
        safe = [_safe(name, member, depth) for member in members]
    if len(value) > MAX_MEMBERS or len(str(safe)) > MAX_LOGGED_CHARS:
        return _ends(f"{safe} of {len(value)}", MAX_LOGGED_CHARS)
    return safe


def _redact(_logger: Any, _method: str, event: Event) -> Event:
    for name, value in event.items():
        if not name.startswith("_"):  # structlog's own keys, which its formatter removes
            event[name] = _safe(name, value)
    return event


def _unfold(_logger: Any, _method: str, event: Event) -> Event:
    """Print a traceback over several lines, each with a marker, so that none of them can look like a log line."""
    if "exception" in event:
        event["exception"] = event["exception"].replace("\\n", "\n    | ")
    return event


def configure(level: str = "INFO", style: Literal["json", "console"] = "json") -> None:
    """Send structlog's events and the standard library's records through one chain of processors to stderr."""
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
    # Otherwise logging prints a record that cannot be formatted unredacted, with its arguments.
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    _silence_libraries()
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


def _silence_libraries() -> None:
    # Below WARNING these log every request with its arguments.
    for name in ("botocore", "boto3", "aiobotocore", "pymongo", "arq", "asyncio", "urllib3", "imapclient"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # These warn at every regular disconnect; the socket provider logs what matters about a connection.
    for name in ("engineio", "socketio"):
        logging.getLogger(name).setLevel(logging.ERROR)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger. An event is `noun.past_verb`, and its details are keyword arguments."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
