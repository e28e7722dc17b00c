"""Refuses an import that points at another account's documents."""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.request import ImportRequest
from pipeline_engine.ids import object_id
from pipeline_engine.repos.import_repos import ImportRepos


async def refuse_foreign(app: App[ImportRepos], request: ImportRequest) -> None:
    """Raises: ImportRefused naming what belongs to somebody else, or that the account is switched off."""
    if not await app.shared.references.account_is_active(request.account_id):
        raise ImportRefused("the account is not active", "account_inactive")
    pointed_at = {
        "users": [request.user_id],
        "pipelines": [request.pipeline_id],
        "custom_fields": [field for field in map(object_id, request.mappings.values()) if field],
        "tags": [tag for tag in map(object_id, request.tags) if tag],
    }
    for collection, ids in pointed_at.items():
        if foreign := await app.shared.references.foreign(collection, ids, request.account_id):
            raise ImportRefused(f"{collection} of another account: {', '.join(foreign)}", "foreign_reference")
