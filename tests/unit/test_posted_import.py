"""The fields of `POST /api/v1/deals/import`, without servers: what is asked for, and what is refused by name."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import pytest
from bson import ObjectId
from starlette.datastructures import UploadFile

from pipeline_engine.admin.access import Refusal
from pipeline_engine.admin.posted_import import check_type, read_posted_import
from pipeline_engine.domain.imports.submit import NewImport

Items = list[tuple[str, UploadFile | str]]

ACCOUNT, USER, PIPELINE = ObjectId(), ObjectId(), ObjectId()
OWNED = partial(NewImport, account_id=ACCOUNT, user_id=USER)
FILE = UploadFile(io.BytesIO(b"Deal Name\nAcme\n"), filename="deals.csv")
LEAST: dict[str, UploadFile | str] = {
    "csv_file": FILE,
    "pipeline_id": str(PIPELINE),
    "mappings": '{"Deal Name": "name"}',
}


def read(fields: dict[str, Any]) -> NewImport:
    file, wanted = read_posted_import(list(fields.items()), OWNED)
    assert file is fields["csv_file"]
    return wanted


def refused(items: Items) -> str:
    with pytest.raises(Refusal) as caught:
        read_posted_import(items, OWNED)
    assert (caught.value.status_code, caught.value.code) == (422, "invalid_field")
    return caught.value.detail


@pytest.mark.covers("DI-03")
def test_file_pipeline_and_mappings_are_enough() -> None:
    assert read(LEAST) == NewImport(
        ACCOUNT, USER, PIPELINE, mappings={"Deal Name": "name"}, tags=[], name="deals.csv", options={}
    )


@pytest.mark.covers("DI-03")
def test_everything_that_additional_data_knows_may_be_given() -> None:
    first = ObjectId()
    given = {"tags": '["imported", "q4-2025"]', "has_header": "false", "dry_run": "true", "delete_csv": "true"}
    given |= {"duplicates": '{"by": ["name"], "policy": "skip"}', "automations": "skip", "retry_of": str(first)}
    given |= {"delimiter": "tab", "encoding": "windows-1252"}

    found = read({**LEAST, **given})

    assert found.tags == ["imported", "q4-2025"]
    duplicates = {"by": ["name"], "policy": "skip"}
    flags = {"has_header": False, "dry_run": True, "delete_csv": True}
    texts = {"delimiter": "tab", "encoding": "windows-1252", "automations": "skip"}
    assert found.options == {**flags, **texts, "duplicates": duplicates, "retry_of": first}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("C:\\Users\\x\\deals.csv", "deals.csv"),
        ("../../etc/deals.csv", "deals.csv"),
        ("a\u202ebc\0\n.csv", "abc.csv"),
        ("", "import.csv"),
        ("folder/", "import.csv"),
        ("x" * 1000, "x" * 200),
    ],
)
def test_the_name_of_the_file_is_kept_without_its_folder(sent: str, kept: str) -> None:
    assert read({**LEAST, "csv_file": UploadFile(io.BytesIO(), filename=sent)}).name == kept


WRONG: dict[str, tuple[dict[str, UploadFile | str], str]] = {
    "file a text": ({"csv_file": "a,b"}, "csv_file: is a text: send the file itself"),
    "mappings a file": ({"mappings": FILE}, "mappings: is a file: send it as a text"),
    "pipeline none": ({"pipeline_id": "Sales"}, "pipeline_id: must be the id of a pipeline"),
    "pipeline empty": ({"pipeline_id": ""}, "pipeline_id: must be the id of a pipeline"),
    "pipeline in capitals": ({"pipeline_id": "A" * 24}, "pipeline_id: must be the id of a pipeline"),
    "mappings no JSON": ({"mappings": "Deal Name=name"}, "mappings: must be JSON, and cannot be read: "),
    "mappings twice a name": ({"mappings": '{"a": "name", "a": "value"}'}, "mappings: must be JSON"),
    "mappings half a character": ({"mappings": '{"\\ud800": "name"}'}, "mappings: must be JSON"),
    "mappings a list": ({"mappings": '["name"]'}, "mappings: must be an object of texts, {column: field}"),
    "mappings of a number": ({"mappings": '{"a": 1}'}, "mappings: must be an object of texts"),
    "mappings of NUL": ({"mappings": '{"a\\u0000": "name"}'}, "mappings: must be an object of texts"),
    "tags no JSON": ({"tags": "imported"}, "tags: must be JSON"),
    "tags a text": ({"tags": '"imported"'}, 'tags: must be a list of texts, as ["imported"]'),
    "tags null": ({"tags": "null"}, "tags: must be a list of texts"),
    "tags of objects": ({"tags": '[{"$ne": 1}]'}, "tags: must be a list of texts"),
    "a blank tag": ({"tags": '[" "]'}, "tags: must be a list of texts"),
    "dry_run no JSON": ({"dry_run": "yes"}, "dry_run: must be JSON"),
    "an account": ({"account_id": str(ACCOUNT)}, "'account_id': there is no such field: an import has csv_file, "),
    "a user": ({"user_id": str(ACCOUNT)}, "'user_id': there is no such field"),
    "mistyped": ({"mapping": "{}"}, "'mapping': there is no such field: did you mean mappings?"),
    "long": ({"x" * 10_000: ""}, "'xxx"),
    "half a character": ({"\ud800": ""}, "'\\ud800': there is no such field"),
}


@pytest.mark.parametrize(("fields", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_field_is_named(fields: dict[str, UploadFile | str], reason: str) -> None:
    said = refused(list({**LEAST, **fields}.items()))
    assert said.startswith(reason)
    assert len(said) < 400


@pytest.mark.parametrize("name", LEAST)
def test_what_is_missing_or_there_twice_is_named(name: str) -> None:
    rest = [(key, value) for key, value in LEAST.items() if key != name]
    assert refused(rest) == f"{name}: missing: send it as a field of the form"
    assert refused([*LEAST.items(), (name, LEAST[name])]) == f"{name}: is there more than once: send it once"


def test_an_empty_form_is_asked_for_all_it_lacks() -> None:
    assert refused([]).startswith("csv_file, mappings, pipeline_id: missing")


@pytest.mark.parametrize("content_type", ["", "text/csv", "application/json", "application/x-www-form-urlencoded"])
def test_a_body_that_is_not_said_to_be_a_form_with_a_file_is_refused(content_type: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_type(content_type)
    assert (caught.value.status_code, caught.value.code) == (415, "not_multipart")


def test_a_type_of_content_may_be_in_capitals() -> None:
    check_type("Multipart/Form-Data; boundary=x")
