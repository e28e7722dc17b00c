"""What a row job needs to know of its import, and what does not change from chunk to chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.imports.csv.row import RowMapper
from pipeline_engine.domain.imports.deal import DealMaker
from pipeline_engine.domain.imports.request import ImportRequest, read_request
from pipeline_engine.domain.imports.source import OpenFile, stored_file
from pipeline_engine.domain.imports.stage_resolver import StageResolver
from pipeline_engine.repos.import_repos import ImportRepos


@dataclass(frozen=True)
class ImportContext:
    """How the rows of one import become deals."""

    account_ref: Any
    """`account_id` as the queue document spells it."""
    request: ImportRequest
    file: OpenFile
    mapper: RowMapper
    maker: DealMaker
    stages: StageResolver


def read_context(app: App[ImportRepos], queue: Mapping[str, Any]) -> ImportContext:
    """Return the context of an import whose file a coordinator has opened."""
    request = read_request(queue)
    file = stored_file(queue, request)
    case = app.settings.stage_name_case
    return ImportContext(
        account_ref=queue["account_id"],
        request=request,
        file=file,
        mapper=RowMapper(file.columns, case, file.rules),
        maker=DealMaker(
            import_id=request.id,
            account_id=request.account_id,
            user_id=request.user_id,
            pipeline_id=request.pipeline_id,
            tags=request.tags,
            automations=request.runs_automations,
        ),
        stages=StageResolver(app.repos.stages, request, first="stage_id" not in file.columns.fields),
    )
