"""`funnels show`"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.funnels.funnel_id import FunnelId
from pipeline_engine.cli.object_id import read_id
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.funnels.control import find_clone, status_of

Document = Mapping[str, Any]


def command(id: FunnelId) -> None:
    """Status, figures, what was copied and what could not be, step by step."""
    funnel_id = read_id(id)

    async def work(app: App) -> tuple[Document, list[Document]]:
        funnel = await find_clone(app, funnel_id)
        return funnel, [*await app.funnel_steps.of_clone(funnel, "clone_state", "attempts", "last_error")]

    funnel, steps = session.with_app(work)
    screen = Screen()
    screen.facts(_facts(funnel))
    if steps:
        place = {id: n for n, id in enumerate(funnel.get("steps") or [])}
        rows = sorted(steps, key=lambda step: place.get(step["_id"], len(place)))
        screen.table(("step", "of", "state", "attempts", "last error"), map(_row, rows))


def _row(step: Document) -> tuple[object, ...]:
    about = (step.get(name) for name in ("clone_state", "attempts", "last_error"))
    return (step["_id"], step["original_step_id"], *about)


def _facts(funnel: Document) -> list[tuple[str, object]]:
    clone = funnel.get("clone") or {}
    words = ("steps_total", "steps_done", "images", "forms", "started_at", "finished_at", "next_at", "error")
    manifest = clone.get("manifest") or {}
    return [
        ("id", funnel["_id"]),
        ("status", status_of(funnel)),
        ("name", funnel.get("name")),
        ("account", funnel.get("account_id")),
        ("original", funnel.get("original_funnel_id")),
        *((name.replace("_", " "), clone.get(name)) for name in words),
        ("runs failed", clone.get("attempts")),
        *((what, ", ".join(f"{count} {kind}" for kind, count in counts.items())) for what, counts in manifest.items()),
        *(("warning", warning) for warning in clone.get("warnings") or []),
    ]
