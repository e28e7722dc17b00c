"""What `GET /api/v1/deals/import/{id}` says, without servers."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from bson import ObjectId

from pipeline_engine.admin.shown_import import shown_import

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_running_import_shows_its_share() -> None:
    figures = {"bytes_read": 500, "bytes_total": 1000, "rows_read": 40, "rows_added": 18, "rows_failed": 2}
    found = shown_import({"_id": ObjectId(), "status": "processing", "progress": figures, "started_at": AT}, {})
    counts = {"total": 80, "added": 18, "updated": 0, "skipped": 0, "errors": 2, "progress": 0.25}
    assert {name: found[name] for name in counts} == counts
    assert (found["status"], found["started_at"], found["errors_shown"]) == ("processing", "2026-03-01T12:00:00Z", [])


def test_the_report_is_shown_without_cells() -> None:
    entry = {"position": 2, "line": 3, "column": "Value", "code": "not_a_number", "additional_info": "not a number"}
    logs = [{**entry, "message": "Deal Insertion failed.", "row": ["secret"]}] * 20
    group = {"code": "not_a_number", "column": "Value", "rows": 20, "line": 3, "message": "not a number"}
    queue = {"_id": ObjectId(), "status": "completed", "error_csv_key": "imports/a/b.errors.csv", "attempts": 1}

    found = shown_import(queue, {"logs": logs, "error_groups": [group], "warnings": ["w"], "total_errors": 20})

    assert found["errors_shown"] == [entry] * 10
    assert (found["error_groups"], found["warnings"], found["progress"]) == ([group], ["w"], 1.0)
    assert found["error_csv_key"] == "imports/a/b.errors.csv"
    assert "secret" not in json.dumps(found)


def test_a_document_that_the_crm_wrote_oddly_is_shown_as_well() -> None:
    odd = {"_id": ObjectId(), "csv": [None], "additional_data": None, "progress": None, "createdAt": "yesterday"}
    found = shown_import(odd, {})
    assert (found["status"], found["file"], found["total"], found["created_at"]) == (None, None, None, "yesterday")
