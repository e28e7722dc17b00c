"""The demo's second file: as a spreadsheet in another language exports it. It needs no setting to be understood."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.cli.demo.demo_run import DemoRun, Facts
from pipeline_engine.domain.imports.csv.in_words import dialect_in_words
from pipeline_engine.domain.imports.submit import NewImport, submit
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.run_once import run_once
from pipeline_engine.workers import open_app

MESSY = """Verkaufschancen
Stand: 01.02.2026

Verkaufschance;Betrag;Phase;E-Mail
Bürobedarf Müller;1.234,50 €;Angebot;info@mueller.example
Straßenbau Größe;(250,00 €);Verhandlung;"weiß@strasse.example; buero@strasse.example"
;;;
Café Français;12 500,-;Angebot;cafe@francais.example
"""
MAPPINGS = {"Verkaufschance": "name", "Betrag": "value", "Phase": "stage_id", "E-Mail": "contact_email"}


async def run(demo: DemoRun) -> Facts:
    """Import the file and say how it was read. Raises: Permanent when the import does not complete."""
    crm = demo.crm
    wanted = NewImport(crm.account, crm.user, crm.pipeline, MAPPINGS, name="verkaufschancen.csv")
    async with open_app(demo.settings) as connected:
        app = connected.with_repos(ImportRepos.open)
        import_id = await submit(app, wanted, _file())
        await run_once(demo.settings, ["deals.import"])
        queue = await app.repos.imports.get(import_id) or {}
        if queue.get("status") != "completed":
            raise Permanent(f"the import is {queue.get('status')}: {queue.get('error')}", "demo")
        return [
            ("messy file read as", dialect_in_words(queue["dialect"])),
            ("left out of it", "; ".join(queue["dialect"]["skipped"])),
            ("its deals", await _values(app, queue)),
        ]


async def _file() -> AsyncIterator[bytes]:
    yield MESSY.encode("cp1252")


async def _values(app: App[ImportRepos], queue: Mapping[str, Any]) -> str:
    deals = app.database["deals"].find({"import_id": queue["_id"]}, sort=[("import_row", 1)])
    return ", ".join([f"{deal['name']} {deal['value']:,.2f}" async for deal in deals])
