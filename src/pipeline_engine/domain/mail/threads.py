"""Says which mails belong together. Pure: the caller reads what is known and stores what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline_engine.domain.mail.parsed_mail import ParsedMail


@dataclass(frozen=True)
class ThreadChoice:
    """The thread of a mail, and the threads that turn out to be parts of it: their mails move into it."""

    thread_id: str
    merged: frozenset[str] = frozenset()


def related_ids(mail: ParsedMail) -> tuple[str, ...]:
    """The Message-IDs by which a mail is tied to others, the oldest first and its own last, each once."""
    answered = (mail.in_reply_to,) if mail.in_reply_to else ()
    return tuple(dict.fromkeys((*mail.references, *answered, mail.message_id)))


def choose_thread(mail: ParsedMail, known: Mapping[str, str]) -> ThreadChoice:
    """Choose the thread of a mail. A thread is named after the oldest Message-ID that was known when it began.

    `known`: {Message-ID: thread} of those of `related_ids` that a stored mail has or refers to. A mail that only others
    refer to counts as well, so the threads are the same in whatever order mails arrive.
    """
    ids = related_ids(mail)
    found = list(dict.fromkeys(known[id] for id in ids if id in known))
    return ThreadChoice(found[0], frozenset(found[1:])) if found else ThreadChoice(ids[0])
