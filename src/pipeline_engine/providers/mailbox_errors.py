"""What imaplib and sockets raise, as errors of the engine."""

from __future__ import annotations

import imaplib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from imapclient.exceptions import LoginError, ProtocolError

from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.logs import clean

LOGIN = "mailbox_login"
"""The error code of a login that the server refuses: only a person, or a new token, can help."""
TLS = "mailbox_tls"
REFUSED = "mailbox_refused"
"""The error code of a command that the server refuses, such as one about a folder that is gone."""
UNREADABLE_ANSWER = "mailbox_answer"
"""The error code of an answer that cannot be read; the connection is still good."""
PASSING_CODES = frozenset({"UNAVAILABLE", "INUSE", "LIMIT", "OVERQUOTA", "SERVERBUG"})
"""Response codes (RFC 5530) of refusals that pass."""
PASSING_TEXT = re.compile(
    "too many simultaneous connections|exceeded command or bandwidth limits|authenticated but not connected|"
    "server unavailable|request is throttled",
    re.IGNORECASE,
)
"""What Gmail and Office 365 say of such, without a code of these."""
CODE = re.compile(r"\[([A-Z-]{2,40})[ \]]")
MAX_REASON_CHARS = 160


@contextmanager
def translated() -> Iterator[None]:
    """Raises: Permanent LOGIN, TLS, REFUSED or UNREADABLE_ANSWER; Transient for all that may pass."""
    try:
        yield
    except imaplib.IMAP4.error as error:
        raise _of_imap(error) from None
    except OSError as error:
        raise _of_socket(error) from None
    except (ValueError, LookupError, TypeError, AssertionError) as error:
        raise _malformed(error) from None  # as imapclient's parsers raise on answers that no server should send


def _of_imap(error: imaplib.IMAP4.error) -> Permanent | Transient:
    match error:
        case LoginError(__context__=imaplib.IMAP4.abort()):  # imapclient makes a refusal of it
            return Transient("the connection to the mail server broke during the login")
        case LoginError():
            return _login(str(error))
        case ProtocolError():
            return _malformed(error)
        case imaplib.IMAP4.abort():
            return Transient(f"the connection to the mail server broke: {_short(error)}")
        case _:
            return _refused(str(error))


def _of_socket(error: OSError) -> Permanent | Transient:
    match error:
        case ssl.SSLCertVerificationError():
            return Permanent(f"the mail server's certificate is refused: {error.verify_message}", TLS)
        case TimeoutError():
            return Transient("the mail server does not answer in time")
        case _:
            return Transient(f"the mail server cannot be reached: {_short(error)}")


def _malformed(error: Exception) -> Permanent:
    return Permanent(f"an answer of the mail server is malformed: {type(error).__name__}", UNREADABLE_ANSWER)


def _login(answer: str) -> Permanent | Transient:
    # Of the answer only its code is quoted: a server may repeat what it was sent.
    shown = f" ({match[1]})" if (match := CODE.search(answer)) else ""
    if _passes(answer):
        return Transient(f"the mail server does not let the mailbox in at the moment{shown}")
    return Permanent(f"the mail server refuses the login{shown}: correct the user, the password or the consent", LOGIN)


def _refused(answer: str) -> Permanent | Transient:
    text = f"the mail server refuses a command: {clean(answer)[:MAX_REASON_CHARS]}"
    return Transient(text) if _passes(answer) else Permanent(text, REFUSED)


def _passes(answer: str) -> bool:
    match = CODE.search(answer)
    return bool(match and match[1] in PASSING_CODES) or PASSING_TEXT.search(answer) is not None


def _short(error: Exception) -> str:
    return clean(str(error) or type(error).__name__)[:MAX_REASON_CHARS]
