"""What servers say when they refuse: what a person must mend, and what passes."""

from __future__ import annotations

import imaplib

import pytest
from bson import ObjectId
from imapclient.exceptions import IMAPClientError, LoginError

from pipeline_engine.domain.claimed import CRASHED, RunFailure
from pipeline_engine.domain.mailboxes.jobs import ATTEMPTS
from pipeline_engine.domain.mailboxes.sweep import is_mended
from pipeline_engine.domain.mailboxes.sync import FIRST_REST, LONGEST_REST, rest_after
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.mailbox_errors import LOGIN, REFUSED, translated
from pipeline_engine.repos.email_accounts import login_print
from pipeline_engine.repos.integration_credentials import REAUTH_REQUIRED

NOT_NOW = [
    "[UNAVAILABLE] Maximum number of connections from user+IP exceeded",
    "[INUSE] The mailbox is being repaired",
    "[LIMIT] Rate limit hit.",
    "[SERVERBUG] Internal error occurred.",
    "[ALERT] Too many simultaneous connections. (Failure)",
    "[ALERT] Account exceeded command or bandwidth limits. (Failure)",
    "User is authenticated but not connected.",
    "Server Unavailable. 15",
    "Request is throttled. Suggested Backoff Time: 299961 milliseconds",
]


def login_error(cause: imaplib.IMAP4.error) -> LoginError:
    """As imapclient raises it."""
    try:
        try:
            raise cause
        except imaplib.IMAP4.error as error:
            raise LoginError(str(error))  # noqa: B904 - imapclient names no cause
    except LoginError as error:
        return error


@pytest.mark.parametrize("text", ["socket error: EOF", "command: AUTHENTICATE => the secret is late"])
def test_a_connection_that_breaks_within_the_login_refuses_no_password(text: str) -> None:
    with pytest.raises(Transient) as raised, translated():
        raise login_error(imaplib.IMAP4.abort(text))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("answer", NOT_NOW)
def test_a_refusal_that_passes_is_none_for_a_person(answer: str) -> None:
    for error in (login_error(IMAPClientError(answer)), IMAPClientError(f"EXAMINE failed: {answer}")):
        with pytest.raises(Transient), translated():
            raise error


@pytest.mark.parametrize("answer", ["[ALERT] Application-specific password required", "AUTHENTICATE failed.", ""])
def test_other_refusals_are_final(answer: str) -> None:
    for error, code in ((login_error(IMAPClientError(answer)), LOGIN), (IMAPClientError(answer), REFUSED)):
        with pytest.raises(Permanent) as raised, translated():
            raise error
        assert raised.value.code == code


def test_a_mailbox_rests_for_five_minutes_at_first_then_twice_as_long_each_time() -> None:
    refused, broken = Permanent("no", LOGIN), Transient("it broke")
    rests = [rest_after(RunFailure(refused, attempt)) for attempt in (-7, 1, 2, 3, 4, 5, 5000)]
    assert rests == [FIRST_REST, FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST, 8 * FIRST_REST, LONGEST_REST, LONGEST_REST]
    assert rest_after(RunFailure(broken, ATTEMPTS)) == FIRST_REST
    assert rest_after(RunFailure(broken, ATTEMPTS + 1)) == 2 * FIRST_REST
    assert rest_after(RunFailure(Permanent("it died", CRASHED), 1)) == FIRST_REST


@pytest.mark.parametrize("id", [ObjectId(), "a text"])
def test_a_mailbox_is_mended_when_its_dead_credential_is_connected_again(id: ObjectId | str) -> None:
    box = {"username": "ann@example.com", "credential_id": id}
    rests = {**box, "tried_with": login_print(box), "error_code": REAUTH_REQUIRED}
    assert not is_mended(rests, {str(id)})
    assert is_mended(rests, set())
    assert not is_mended({**rests, "error_code": LOGIN}, set())
    assert is_mended({**rests, "username": "bob@example.com"}, {str(id)})
