"""What a row job needs to know of its import, and what does not change from chunk to chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.imports.csv.row import RowMapper
from pipeline_engine.domain.imports.deal import DealMaker
from pipeline_engine.domain.imports.request import ImportRequest, read_request
from pipeline_engine.domain.imports.retry_rows import row_place
from pipeline_engine.domain.imports.source import OpenFile, stored_file
from pipeline_engine.domain.imports.stage_resolver import StageResolver
from pipeline_engine.ids import object_id
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
    root: ObjectId
    """The import by whose rows the deals are numbered: the first one, when this file is its corrected error CSV."""
    retry_place: int | None
    """The place of the column `_row` in a corrected error CSV."""

    @property
    def stage_place(self) -> int | None:
        """The place of the column with the stages, if one is mapped and in the file."""
        place = self.file.columns.fields.get("stage_id")
        return place if place is not None and place < len(self.file.header.columns) else None


def read_context(app: App[ImportRepos], queue: Mapping[str, Any]) -> ImportContext:
    """Return the context of an import whose file a coordinator has opened."""
    request = read_request(queue)
    file = stored_file(queue, request)
    root = object_id(queue.get("retry_root")) or request.id
    return ImportContext(
        account_ref=queue["account_id"],
        request=request,
        file=file,
        mapper=row_mapper(app, file),
        maker=DealMaker(
            import_id=request.id,
            root=root,
            account_id=request.account_id,
            user_id=request.user_id,
            pipeline_id=request.pipeline_id,
            tags=request.tags,
            automations=request.runs_automations,
        ),
        stages=StageResolver(app.repos.stages, request, first="stage_id" not in file.columns.fields),
        root=root,
        retry_place=row_place(file.header.columns) if request.retry_of else None,
    )


def row_mapper(app: App[ImportRepos], file: OpenFile) -> RowMapper:
    """Return what makes rows out of the cells of this file."""
    return RowMapper(file.columns, app.settings.stage_name_case, file.rules)
