"""Credentials at rest."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest

from pipeline_engine import settings
from pipeline_engine.errors import ConfigError, Permanent
from pipeline_engine.providers.credentials import MARK, UNREADABLE, Credentials, is_sealed
from pipeline_engine.providers.integrations import credentials_of

OLD, NEW = (urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2))


@pytest.mark.parametrize("value", ["ya29.token", "pässwörd 🔑", "fernet:looks like one", '["a", "b"]', "x" * 5000])
def test_what_is_sealed_is_opened_and_not_seen(value: str) -> None:
    credentials = Credentials([NEW])
    stored = credentials.seal(value, "id 1")
    assert is_sealed(stored)
    assert value not in stored
    assert stored != credentials.seal(value, "id 1")  # equal passwords do not show
    assert credentials.open(stored, "id 1") == value


def test_without_keys_everything_stays_plain() -> None:
    credentials = Credentials([])
    assert (credentials.has_keys, credentials.seal("secret", 1), credentials.open("secret", 1)) == (
        False,
        "secret",
        "secret",
    )


@pytest.mark.parametrize("stored", [None, 7, b"bytes", ["list"]])
def test_what_is_no_text_is_an_empty_credential(stored: object) -> None:
    assert Credentials([NEW]).open(stored, 1) == ""


def test_plain_values_of_the_crm_are_read_with_keys_as_well() -> None:
    assert Credentials([NEW]).open("plain", 1) == "plain"


def test_older_keys_open_and_the_newest_seals() -> None:
    stored = Credentials([OLD]).seal("secret", 1)
    both = Credentials([NEW, OLD])
    assert both.open(stored, 1) == "secret"
    assert Credentials([NEW]).open(both.seal("secret", 1), 1) == "secret"


def test_sealing_again_leaves_plain_values_alone() -> None:
    document = {"_id": 1, "access_token": Credentials([OLD]).seal("secret", 1), "client_secret": "plain"}
    again = Credentials([NEW, OLD]).sealed_again(document, ["access_token", "refresh_token", "client_secret"])
    assert [*again] == ["access_token"]
    assert Credentials([NEW]).open(again["access_token"], 1) == "secret"


@pytest.mark.parametrize(
    ("keys", "stored", "owner"),
    [
        ([NEW], Credentials([OLD]).seal("secret", 1), 1),
        ([], Credentials([NEW]).seal("secret", 1), 1),
        ([NEW], Credentials([NEW]).seal("secret", 1), 2),  # copied into another document
        ([NEW], f"{MARK}nonsense", 1),
        ([NEW], MARK, 1),
    ],
)
def test_what_no_key_opens_is_refused_without_being_quoted(keys: list[str], stored: str, owner: int) -> None:
    with pytest.raises(Permanent) as refused:
        Credentials(keys).open(stored, owner)
    assert refused.value.code == UNREADABLE
    assert stored not in str(refused.value) or stored == MARK


def test_a_key_is_named_without_being_shown() -> None:
    ids = {Credentials([key]).key_id for key in (OLD, NEW)}
    assert len(ids) == 2
    assert not any(one in OLD + NEW for one in ids)
    assert Credentials([NEW, OLD]).key_id == Credentials([NEW]).key_id


@pytest.mark.parametrize("given", ["short", f"{NEW},short", "é" * 44])
def test_a_bad_key_names_the_setting_and_is_not_shown(given: str) -> None:
    with pytest.raises(ConfigError, match="CREDENTIALS_KEYS") as refused:
        credentials_of(settings.load(_env_file=None, credentials_keys=given))
    assert given not in str(refused.value)


def test_keys_are_read_newest_first_with_spaces_around() -> None:
    found = credentials_of(settings.load(_env_file=None, credentials_keys=f" {NEW} , {OLD},"))
    assert found.key_id == Credentials([NEW]).key_id
