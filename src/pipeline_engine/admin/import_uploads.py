"""`/api/v1/deals/import`: users of the CRM, and programs with their tokens, upload a CSV file of deals, and follow its
import."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http import HTTPStatus

from bson import ObjectId
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline_engine import logs
from pipeline_engine.admin.access import RETRY_LATER, Refusal, RefusedTokens, claims_of
from pipeline_engine.admin.connection import SLOW_BODY
from pipeline_engine.admin.posted_import import FIELDS, check_type, read_posted_import
from pipeline_engine.admin.shown_import import shown_import
from pipeline_engine.app import App
from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.submit import NewImport, submit
from pipeline_engine.domain.webhooks.payload import MAX_ID_CHARS
from pipeline_engine.errors import EngineError
from pipeline_engine.ids import object_id
from pipeline_engine.providers.claims import Identity
from pipeline_engine.providers.tokens import ServiceTokens
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.imports import ENDED
from pipeline_engine.settings import Settings
from pipeline_engine.workers.imports import SYSTEM

PATH = "/api/v1/deals/import"
READ = "contacts.read"
IMPORT = "contacts.create"
MAX_FIELD_BYTES = 256 * 1024
FORM_BYTES = 1024 * 1024
"""What the body may have beside a file of IMPORT_MAX_BYTES."""
BLOCK_BYTES = 256 * 1024
MAX_UPLOADS, MAX_UPLOADS_PER_ACCOUNT = 8, 2
"""At a time: each keeps a connection, and its file on the disk."""
AWAY = "the file cannot be stored now: nothing is imported; send the same request again in some seconds"

log = logs.get(__name__)


def max_body_bytes(settings: Settings) -> int:
    """The length of the largest upload."""
    return settings.import_max_bytes + FORM_BYTES


def routes(app: App, tokens: ServiceTokens) -> Iterator[Route]:
    """An import of another account is answered as one that does not exist."""
    refused, places = RefusedTokens(), _Places()
    scope = app.with_repos(ImportRepos.open)

    async def upload(request: Request) -> JSONResponse:
        who = claims_of(request, tokens, IMPORT, refused).identity
        owned, account_id = _owned(who), _id("account_id", who.account_id)
        if not SYSTEM.enabled(app.settings):
            raise Refusal(HTTPStatus.CONFLICT, "switched_off", f"{SYSTEM.name} is switched off here")
        check_type(request.headers.get("content-type", ""))
        with places.taken(account_id):
            setattr(request.state, SLOW_BODY, True)
            async with _form(request) as form:
                file, wanted = read_posted_import(form.multi_items(), owned)
                queue_id = await _submit(scope, wanted, file)
        log.info("import.uploaded", queue_id=str(queue_id), account_id=str(account_id), bytes=file.size)
        return JSONResponse({"queue_id": str(queue_id)}, HTTPStatus.ACCEPTED)

    async def show(request: Request) -> JSONResponse:
        account_id = object_id(claims_of(request, tokens, READ, refused).identity.account_id)
        id = request.path_params["id"]
        import_id = object_id(id)
        queue = await scope.repos.imports.get(import_id) if import_id else None
        if account_id is None or queue is None or object_id(queue.get("account_id")) != account_id:
            why = f"there is no import {id[:MAX_ID_CHARS]} in this account"
            raise Refusal(HTTPStatus.NOT_FOUND, "import_not_found", why)
        ended = queue.get("status") in ENDED  # the report of a first try still stands while a retry runs
        report = await scope.repos.csv_imports.of_import(account_id, queue["_id"]) if ended else None
        return JSONResponse(shown_import(queue, report or {}))

    yield Route(PATH, upload, methods=["POST"])
    yield Route(f"{PATH}/{{id:path}}", show, methods=["GET"])


class _Places:
    """Who uploads now, so that slow clients neither fill the disk nor keep others out."""

    def __init__(self) -> None:
        self._uploads: Counter[ObjectId] = Counter()

    @contextmanager
    def taken(self, account_id: ObjectId) -> Iterator[None]:
        if self._uploads[account_id] >= MAX_UPLOADS_PER_ACCOUNT:
            reason = f"an account uploads at most {MAX_UPLOADS_PER_ACCOUNT} files at a time"
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too_many_uploads", reason, RETRY_LATER)
        if self._uploads.total() >= MAX_UPLOADS:
            reason = "there are too many uploads: try again"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", reason, RETRY_LATER)
        self._uploads[account_id] += 1
        try:
            yield
        finally:
            self._uploads -= Counter([account_id])


class _Form(MultiPartParser):
    """Starlette's parser, which would take half a body for a whole one, and leave its file open."""

    def __init__(self, request: Request) -> None:
        limits: dict[str, int] = {"max_files": 1, "max_fields": len(FIELDS), "max_part_size": MAX_FIELD_BYTES}
        super().__init__(request.headers, self._whole(request), **limits)
        self._has_ended = False

    def on_end(self) -> None:
        self._has_ended = True

    async def _whole(self, request: Request) -> AsyncGenerator[bytes, None]:
        async for block in request.stream():
            yield block
        if not self._has_ended:
            raise MultiPartException("its last boundary is missing")


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[FormData]:
    """The fields, with the file on the disk when it has over 1 MB; it is deleted at the end.

    Raises: Refusal 400 when the body is no form, 503 when the disk does not take the file.
    """
    try:
        form = await _Form(request).parse()
    except ClientDisconnect:
        raise Refusal(HTTPStatus.BAD_REQUEST, "broken_off", "the body ended before its length") from None
    except (MultiPartException, UnicodeError) as error:
        reason = error.message if isinstance(error, MultiPartException) else "a part of it cannot be decoded"
        wanted = f"send one file and the other fields as multipart/form-data: {reason}"
        raise Refusal(HTTPStatus.BAD_REQUEST, "invalid_multipart", wanted) from None
    except OSError as error:
        raise _not_stored(error) from None
    try:
        yield form
    finally:
        await form.close()


async def _submit(app: App[ImportRepos], wanted: NewImport, file: UploadFile) -> ObjectId:
    try:
        return await submit(app, wanted, _blocks(file))
    except ImportRefused as error:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, str(error)) from None
    except (EngineError, OSError) as error:
        raise _not_stored(error) from None


def _not_stored(error: Exception) -> Refusal:
    """Only the operator, who reads the log, can mend a full disk or a wrong S3_BUCKET."""
    log.error("import.not_stored", error=f"{type(error).__name__}: {error}")
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "storage_away", AWAY, RETRY_LATER)


async def _blocks(file: UploadFile) -> AsyncIterator[bytes]:
    while block := await file.read(BLOCK_BYTES):
        yield block


def _owned(who: Identity) -> partial[NewImport]:
    """A new import of the token's user. Raises: Refusal 403 when the token names an owner by what is no id."""
    return partial(
        NewImport,
        account_id=_id("account_id", who.account_id),
        user_id=_id("uid", who.uid),
        parent_account=_id("parent_account", who.parent_account) if who.parent_account else None,
        client_id=_id("client_id", who.client_id) if who.client_id else None,
    )


def _id(claim: str, value: str) -> ObjectId:
    found = object_id(value)
    if found is None:
        raise Refusal(HTTPStatus.FORBIDDEN, "no_account", f"the token's {claim} is no id")
    return found
