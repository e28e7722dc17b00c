"""Links by which the receiver of a mail unsubscribes: `List-Unsubscribe` (RFC 2369) and its token."""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import quote

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.messages.opt_out import OptOut

MAC_BYTES = 20
MAX_TOKEN_CHARS = 1000
MAX_HEADER_CHARS = 850
"""Of the header's two addresses; where they would be longer, the one by mail is left out."""


def unsubscribe_uris(app: App, account_id: ObjectId, address: str, source: str) -> tuple[str, ...]:
    """The addresses of a mail's `List-Unsubscribe`: by http, and by mail to SMTP_FROM. None without PUBLIC_URL."""
    base, mailbox = app.settings.public_url, app.senders.mailer.address
    if not base:
        return ()
    token = new_token(app.recipients_key, OptOut(account_id, "email", address, source))
    link = f"{base.rstrip('/')}/u/{token}"
    by_mail = f"mailto:{quote(mailbox, safe='@')}?subject=unsubscribe%20{token}" if mailbox else ""
    return (link, by_mail) if by_mail and len(link) + len(by_mail) <= MAX_HEADER_CHARS else (link,)


def new_token(key: bytes, wish: OptOut) -> str:
    """A token that stands for the wish, which only the holder of the key can make. Equal wishes give equal tokens."""
    content = "\n".join((str(wish.account_id), wish.channel, wish.source, wish.address)).encode()
    return urlsafe_b64encode(_mac(key, content) + content).decode().rstrip("=")


def read_token(key: bytes, token: str) -> OptOut | None:
    """The wish that the token stands for; None when it was not made with the key. Takes as long for every token of its
    length."""
    content = _decoded(token)
    mac, content = content[:MAC_BYTES], content[MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, content)):
        return None
    account_id, channel, source, address = content.decode().split("\n", 3)
    return OptOut(ObjectId(account_id), "sms" if channel == "sms" else "email", address, source)


def _decoded(token: str) -> bytes:
    try:
        return urlsafe_b64decode(token[:MAX_TOKEN_CHARS] + "===")
    except (binascii.Error, ValueError):
        return b""


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, b"unsubscribe\0" + content, "sha256")[:MAC_BYTES]
