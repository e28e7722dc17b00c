"""`imports submit`: uploads a file and queues its import."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.arguments import read_id
from pipeline_engine.cli.daemons import count_daemons, no_daemon
from pipeline_engine.domain.imports.submit import NewImport, submit
from pipeline_engine.errors import ConfigError
from pipeline_engine.repos.import_repos import ImportRepos

BLOCK_BYTES = 256 * 1024


def command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A CSV file.")],
    account: Annotated[str, typer.Option(metavar="ID", help="The account that the deals will belong to.")],
    user: Annotated[str, typer.Option(metavar="ID", help="The user who imports: the deals' creator and owner.")],
    pipeline: Annotated[str, typer.Option(metavar="ID", help="The pipeline that the deals go to.")],
    mapping: Annotated[list[str], typer.Option("--map", metavar="COLUMN=FIELD", help="Once per column.")],
    tag: Annotated[list[str] | None, typer.Option(help="A tag of every deal; may be repeated.")] = None,
) -> None:
    """Upload a file and queue its import. Prints the import's id."""
    wanted = NewImport(
        account_id=read_id(account, "--account"),
        user_id=read_id(user, "--user"),
        pipeline_id=read_id(pipeline, "--pipeline"),
        mappings=read_mappings(mapping),
        tags=tag or (),
        name=file.name,
    )

    async def work(app: App) -> int:
        typer.echo(str(await submit(app.with_repos(ImportRepos.open), wanted, _blocks(stream))))
        return await count_daemons(app.redis, app.queue)

    with file.open("rb") as stream:
        running = session.with_app(work)
    if not running:
        typer.echo(no_daemon("deals.import"), err=True)


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


async def _blocks(stream: BinaryIO) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(stream.read, BLOCK_BYTES):
        yield block
