"""`imports submit`: uploads a file and queues its import."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.arguments import filled, read_id
from pipeline_engine.cli.daemons import count_daemons, no_daemon
from pipeline_engine.cli.import_progress import watch
from pipeline_engine.domain.imports.submit import NewImport, submit
from pipeline_engine.errors import ConfigError
from pipeline_engine.repos.import_repos import ImportRepos

BLOCK_BYTES = 256 * 1024
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", r"\t": "\t", "pipe": "|", "space": " "}

CsvFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A CSV file.")]
Owner = Annotated[str, typer.Option(metavar="ID", help="The account that the deals will belong to.")]
User = Annotated[str, typer.Option(metavar="ID", help="The user who imports: the deals' creator and owner.")]
Pipeline = Annotated[str, typer.Option(metavar="ID", help="The pipeline that the deals go to.")]
Maps = Annotated[list[str], typer.Option("--map", metavar="COLUMN=FIELD", help="Once per column.")]
Tags = Annotated[list[str] | None, typer.Option(help="A tag of every deal; may be repeated.")]
Delimiter = Annotated[str | None, typer.Option(metavar="CHARACTER", help="What stands between two cells, or its name.")]
Encoding = Annotated[str | None, typer.Option(metavar="NAME", help="As in utf-8 or windows-1252.")]
Header = Annotated[bool, typer.Option("--header/--no-header", help="Without one, --map names columns 1, 2, …")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and check everything, create nothing.")]
RetryOf = Annotated[
    str | None,
    typer.Option(metavar="ID", help="The import whose corrected error CSV this file is.", callback=filled),
]
Watch = Annotated[bool, typer.Option("--watch", help="Follow the import to its end.")]


def command(
    file: CsvFile,
    account: Owner,
    user: User,
    pipeline: Pipeline,
    mapping: Maps,
    tag: Tags = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    header: Header = True,
    dry_run: DryRun = False,
    retry_of: RetryOf = None,
    watching: Watch = False,
) -> None:
    """Check a file, upload it and queue its import.

    Prints the import's id. How the file is to be read is found out; the options overrule that."""
    wanted = NewImport(
        account_id=read_id(account, "--account"),
        user_id=read_id(user, "--user"),
        pipeline_id=read_id(pipeline, "--pipeline"),
        mappings=read_mappings(mapping),
        tags=tag or (),
        name=file.name,
        options=read_options(delimiter, encoding, header=header, dry_run=dry_run, retry_of=retry_of),
    )
    with file.open("rb") as stream:
        import_id, running = session.with_app(lambda app: _submit(app, wanted, stream))
    typer.echo(str(import_id))
    if watching:
        raise typer.Exit(watch(import_id))
    if not running:
        typer.echo(no_daemon("deals.import"), err=True)


async def _submit(app: App, wanted: NewImport, stream: BinaryIO) -> tuple[ObjectId, int]:
    import_id = await submit(app.with_repos(ImportRepos.open), wanted, blocks(stream))
    return import_id, await count_daemons(app.redis, app.queue)


def read_options(delimiter: str | None, encoding: str | None, *, header: bool, **others: Any) -> dict[str, Any]:
    """The options that were given, as `additional_data` holds them. Raises: ConfigError."""
    options: dict[str, Any] = {name: value for name, value in others.items() if value}
    if options.get("retry_of"):
        options["retry_of"] = read_id(options["retry_of"], "--retry-of")
    if delimiter is not None:
        options["delimiter"] = DELIMITERS.get(delimiter.lower(), delimiter)
    if encoding is not None:
        options["encoding"] = encoding
    return options if header else {**options, "has_header": False}


def read_mappings(pairs: Sequence[str]) -> dict[str, str]:
    """{column: field}. `Deal Name=name` maps the column `Deal Name`; a column may hold `=` itself, a field cannot.

    Raises: ConfigError naming the pair that is malformed, or the column that is given twice.
    """
    mappings: dict[str, str] = {}
    for pair in pairs:
        column, _, field = pair.rpartition("=")
        if not column or not field:
            raise ConfigError(f"--map: given {pair!r}: COLUMN=FIELD is wanted, as in 'Deal Name=name'")
        if column in mappings:
            raise ConfigError(f"--map: the column {column!r} is given twice")
        mappings[column] = field
    return mappings


async def blocks(stream: BinaryIO) -> AsyncIterator[bytes]:
    """The bytes of an open file, in blocks."""
    while block := await asyncio.to_thread(stream.read, BLOCK_BYTES):
        yield block
