"""What an import with `dry_run: true` would do: the stages it would create and the automations that would fire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.imports.csv.row import Row
from pipeline_engine.domain.imports.csv.values import name_key
from pipeline_engine.domain.imports.request import ImportRequest
from pipeline_engine.repos.import_repos import ImportRepos

MAX_STAGES = 200
"""Stages of one chunk, and of the report; a file with more has a column mapped that holds no stages."""


def stage_rows(rows: Sequence[Row], place: int | None) -> list[dict[str, Any]]:
    """Return how many rows go into each stage, as {name, rows}; `name` is the file's spelling in column `place`. Pure.

    Without such a column the name is '' and stands for the first stage of the pipeline.
    """
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for row in rows:
        key = name_key(row.stage)
        names.setdefault(key, " ".join(row.cells[place].split()) if place is not None else "")
        counts[key] += 1
    return [{"name": names[key], "rows": count} for key, count in counts.most_common(MAX_STAGES)]


async def outlook(app: App[ImportRepos], request: ImportRequest, found: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return in plain sentences what the import would do besides adding deals. `found`: `stage_rows` of its chunks."""
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for one in found:
        key = name_key(one["name"])
        names.setdefault(key, one["name"])
        counts[key] += one["rows"]
    stages = await app.repos.stages.of_pipeline(request.account_id, request.pipeline_id)
    by_key = {name_key(str(stage.get("name") or "")): stage for stage in reversed(stages)}
    if stages:
        by_key[""] = stages[0]
    new = [f"would create the stage {names[key]!r}" for key in counts if key and key not in by_key]
    known = {key: by_key[key] for key in list(counts)[:MAX_STAGES] if key in by_key}
    return new[:MAX_STAGES] + (await _fired(app, request, known, counts) if request.runs_automations else [])


async def _fired(
    app: App[ImportRepos], request: ImportRequest, stages: Mapping[str, Mapping[str, Any]], counts: Mapping[str, int]
) -> list[str]:
    lines = []
    for key, stage in stages.items():
        for one in await app.repos.automations.siblings(request.account_id, stage["_id"]):
            deals = f"{counts[key]:,} deal{'s' if counts[key] != 1 else ''}"
            lines.append(f"{deals} would get automation {one['_id']} ({one.get('type')}) in stage {stage['name']!r}")
    return lines
