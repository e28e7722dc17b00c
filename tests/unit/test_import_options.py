"""Options of an import that are unknown, not built or malformed are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.imports.options import check_options
from pipeline_engine.domain.imports.refusal import ImportRefused

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"delimeter": ";"}, "the option 'delimeter', which is not known: did you mean 'delimiter'?"),
    ({"dryrun": True}, "'dryrun', which is not known: did you mean 'dry_run'?"),
    ({"Encoding": "utf-8"}, "did you mean 'encoding'?"),
    ({"retryOf": "x"}, "did you mean 'retry_of'?"),
    ({"zebra": 1}, "the option 'zebra', which is not known: known are pipeline_id, tags, dry_run"),
    ({"a": 1, "hasheader": True}, "did you mean 'has_header'?"),
    ({"": 1}, "the option ''"),
    ({"dry_run": "yes"}, "additional_data.dry_run is 'yes'; it must be true or false"),
    ({"dry_run": 1}, "additional_data.dry_run is 1"),
    ({"delete_csv": "no"}, "additional_data.delete_csv is 'no'"),
    ({"automations": "off"}, "additional_data.automations is 'off'; it must be 'run' or 'skip'"),
    ({"automations": []}, "additional_data.automations is []"),
    ({"retry_of": "latest"}, "additional_data.retry_of is 'latest'; it must be the id of an import"),
    ({"duplicates": "skip"}, "additional_data.duplicates is 'skip'"),
    ({"duplicates": {"by": ["name"], "policy": "merge"}}, "additional_data.duplicates"),
    ({"duplicates": {"by": ["name"], "policy": "update"}}, "the policy 'update', which is not built yet"),
    ({"duplicates": {"by": ["name"], "policy": "update"}}, "the policy 'update', which is not built yet"),
    ({"duplicates": {"policy": "create", "on": 1}}, "has 'on', which is not known"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=[str(options) for options, _ in REFUSED])
def test_what_is_not_understood_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ImportRefused) as refused:
        check_options({"pipeline_id": ObjectId(), **options})

    assert words in str(refused.value)
    assert refused.value.code == "options"


def test_what_is_known_passes_and_null_is_as_good_as_absent() -> None:
    check_options({"pipeline_id": ObjectId(), "tags": [], "dry_run": True, "automations": "skip", "delete_csv": False})
    check_options({"retry_of": str(ObjectId()), "duplicates": {"by": ["name"], "policy": "create"}})
    check_options(dict.fromkeys(["dry_run", "automations", "retry_of", "duplicates", "delete_csv", "encoding"]))
