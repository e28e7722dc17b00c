"""What follows from one stored message."""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.domain.mail.parsed_mail import ParsedMail
from pipeline_engine.repos.client import Document


async def follow(app: App, mailbox: Document, stored: Document, mail: ParsedMail) -> None:
    """Nothing yet."""
