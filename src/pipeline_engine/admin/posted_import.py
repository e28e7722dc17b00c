"""The fields of `POST /api/v1/deals/import`: what to import, and the file. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from bson import ObjectId
from starlette.datastructures import UploadFile

from pipeline_engine.admin.access import Refusal
from pipeline_engine.domain.imports import options
from pipeline_engine.domain.imports.refusal import quoted
from pipeline_engine.domain.imports.submit import NewImport
from pipeline_engine.ids import object_id
from pipeline_engine.json_object import json_value

MULTIPART = "multipart/form-data"
FILE, MAPPINGS, PIPELINE, TAGS = "csv_file", "mappings", "pipeline_id", "tags"
FIELDS = (FILE, MAPPINGS, *options.KNOWN)
NEEDED = (FILE, MAPPINGS, PIPELINE)
JSON_FIELDS = (MAPPINGS, TAGS, "has_header", "dry_run", "delete_csv", "duplicates")
"""The others are texts."""
MAX_NAME_CHARS = 200
"""Of the file's name."""


def check_type(content_type: str) -> None:
    """Raises: Refusal 415 when the body is not said to be a form with a file."""
    if content_type.partition(";")[0].strip().lower() != MULTIPART:
        wanted = f"send the fields {', '.join(NEEDED)} as Content-Type: {MULTIPART}"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_multipart", wanted)


def read_posted_import(
    items: Sequence[tuple[str, UploadFile | str]], owned: Callable[..., NewImport]
) -> tuple[UploadFile, NewImport]:
    """The file, and what the form asks for: `owned` makes it an import of the token's user.

    The values of options are left to `submit` to check. Raises: Refusal 422 naming the field that is wrong.
    """
    _check_names([name for name, _ in items])
    sent = dict(items)
    file = sent.pop(FILE)
    if not isinstance(file, UploadFile):
        raise _wrong(FILE, "is a text: send the file itself, with a file name, as `curl -F csv_file=@deals.csv` does")
    given = {name: _value(name, value) for name, value in sent.items()}
    if "retry_of" in given:
        given["retry_of"] = object_id(given["retry_of"]) or given["retry_of"]
    return file, owned(
        pipeline_id=_pipeline(given.pop(PIPELINE)),
        mappings=_mappings(given.pop(MAPPINGS)),
        tags=_tags(given.pop(TAGS, [])),
        name=_base_name(file.filename or ""),
        options=given,
    )


def _check_names(names: Sequence[str]) -> None:
    for name, times in Counter(names).items():
        if name not in FIELDS:
            near = options.nearest(name, FIELDS)
            hint = f"did you mean {near}?" if near else f"an import has {', '.join(FIELDS)}"
            raise _wrong(quoted(name), f"there is no such field: {hint}")
        if times > 1:
            raise _wrong(name, "is there more than once: send it once")
    if missing := [name for name in NEEDED if name not in names]:
        raise _wrong(", ".join(missing), "missing: send it as a field of the form")


def _value(name: str, value: UploadFile | str) -> Any:
    if isinstance(value, UploadFile):
        raise _wrong(name, "is a file: send it as a text, without a file name")
    if name not in JSON_FIELDS:
        return value
    try:
        return json_value(value)
    except ValueError as error:
        raise _wrong(name, f"must be JSON, and cannot be read: {error}") from None


def _pipeline(value: str) -> ObjectId:
    found = object_id(value)
    if found is None:
        raise _wrong(PIPELINE, f"must be the id of a pipeline, 24 hex digits in lower case, not {quoted(value)}")
    return found


def _mappings(value: Any) -> dict[str, str]:
    named = isinstance(value, dict) and all("\0" not in name for name in value)  # which MongoDB could not hold
    if not named or not all(isinstance(field, str) for field in value.values()):
        raise _wrong(MAPPINGS, 'must be an object of texts, {column: field}, as {"Deal Name": "name"}')
    return dict(value)


def _tags(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(tag, str) and tag.strip() for tag in value):
        raise _wrong(TAGS, 'must be a list of texts, as ["imported"]')
    return list(value)


def _base_name(path: str) -> str:
    """The name without folders, which some clients send, and without what would show it as something else."""
    name = path.replace("\\", "/").rpartition("/")[2]
    return "".join(filter(str.isprintable, name))[:MAX_NAME_CHARS] or "import.csv"


def _wrong(name: str, what: str) -> Refusal:
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_field", f"{name}: {what}")
