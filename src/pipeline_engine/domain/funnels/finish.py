"""Ends a clone, or a run over it, when no step is left to wait for.

Whoever ended the last step does it; after a crash in between, the sweep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.events import relay
from pipeline_engine.domain.funnels.progress import Progress
from pipeline_engine.ids import object_id
from pipeline_engine.logs import clean
from pipeline_engine.repos.funnel_repos import FunnelRepos
from pipeline_engine.repos.funnels import FUNNELS

log = logs.get(__name__)

Document = Mapping[str, Any]


async def settle(app: App[FunnelRepos], planned: Document, progress: Progress | None = None) -> None:
    """See how far a planned clone is, and end it if its last step has ended. May be done any number of times."""
    counts = await app.repos.funnel_steps.counts(planned)
    done, total = counts.get("done", 0), len(planned["clone"]["source_steps"])
    if counts.get("open"):
        if progress and done:
            await progress.tell(app, planned, done)
    elif done == total:
        await _complete(app, planned)
    else:
        await end_run(app, planned, await _what_failed(app, planned, done))


async def _what_failed(app: App[FunnelRepos], planned: Document, done: int) -> str:
    failed = await app.repos.funnel_steps.failed(planned)
    reasons = list(dict.fromkeys(str(one.get("last_error")) for one in failed))
    left = len(planned["clone"]["source_steps"]) - done
    return (
        f"{left} of {planned['clone']['steps_total']} steps failed: {'; '.join(reasons) or 'their documents are gone'}"
    )


async def _complete(app: App[FunnelRepos], planned: Document) -> None:
    counts = await _manifest(app, planned)
    warnings = await app.repos.components.errors(planned)
    figures = {"images": counts["copied"]["images"], "forms": counts["copied"]["forms"]}
    values: dict[str, Any] = {f"clone.{name}": value for name, value in figures.items()}
    values |= {"clone.steps_done": counts["copied"]["steps"], "clone.manifest": counts, "clone.warnings": warnings}
    data = {"funnel_id": str(planned["_id"]), "status": "completed"}
    told: dict[str, Any] = {**data, **figures, "steps": counts["copied"]["steps"], "warnings": len(warnings)}
    told["original_funnel_id"] = str(planned.get("original_funnel_id"))
    run = _run(planned)
    events = [
        relay.crm_event(f"clone.completed:{run}", "clone.completed", planned.get("user_id"), told),
        relay.socket_event(
            f"funnel_cloning_completed:{run}", "funnel_cloning_completed", await _users(app, planned), data
        ),
    ]
    await _end(app, planned, events, {**values, "clone.error": None})


async def _manifest(app: App[FunnelRepos], planned: Document) -> dict[str, dict[str, int]]:
    """What was copied, which references now lead to the copies, which are empty, and what is left of the source."""
    steps = await app.repos.funnel_steps.of_clone(planned, "clone_counts")
    relinked: dict[str, int] = {}
    reset = 0
    for step in steps:
        counts = dict(step.get("clone_counts") or {})
        reset += counts.pop("reset", 0)
        for kind, count in counts.items():
            relinked[kind] = relinked.get(kind, 0) + count
    images, forms = await app.repos.images.count(planned), await app.repos.forms.count(planned)
    copied = {"steps": len(steps), "components": len(steps), "images": images, "forms": forms}
    return {"copied": copied, "relinked": relinked, "reset": {"references": reset}, "left": {"references": 0}}


async def end_run(app: App[FunnelRepos], seen: Document, error: str) -> None:
    """This run has failed: the next one comes after a rest, unless it was the last."""
    attempts = seen["clone"]["attempts"] + 1
    if attempts >= app.settings.clone_runs:
        await fail(app, seen, error, **{"clone.attempts": attempts})
        return
    values = {"clone.attempts": attempts, "clone.error": clean(error)}
    if await app.repos.funnels.rest(seen, app.settings.funnel_sweep_seconds, values):
        log.warning("clone run failed", funnel_id=str(seen["_id"]), run=attempts, error=clean(error))


async def fail(app: App[FunnelRepos], seen: Document, error: str, **values: Any) -> None:
    """The clone has failed for good: only a person takes it up again."""
    failed = {**values, "clone_failed": True, "clone.error": clean(error)}
    await _end(app, seen, [await _failure(app, seen, clean(error))], failed, clean(error))


async def end_cancelled(app: App[FunnelRepos], held: Document) -> None:
    """Nothing of it is left."""
    fresh: dict[str, Any] = {"clone.source_steps": None, "clone.steps_total": 0, "clone.steps_done": 0, "steps": []}
    events = [await _failure(app, held, "cancelled")]
    await _end(app, held, events, {**fresh, "clone.attempts": 0, "clone.error": "cancelled", "clone.warnings": []})


async def _failure(app: App[FunnelRepos], seen: Document, error: str) -> dict[str, Any]:
    data = {"funnel_id": str(seen["_id"]), "error": error}
    users = await _users(app, seen)
    return relay.socket_event(f"funnel_cloning_failed:{_run(seen)}", "funnel_cloning_failed", users, data)


async def _end(
    app: App[FunnelRepos], seen: Document, events: list[dict[str, Any]], values: dict[str, Any], complaint: str | None = None
) -> None:
    ended = await app.repos.funnels.end(seen, events, values, complaint)
    if ended is None:
        return  # somebody else was quicker, or took it over
    warnings = len(values.get("clone.warnings") or ())
    log.info("clone ended", funnel_id=str(seen["_id"]), error=values["clone.error"], warnings=warnings)
    await relay.pass_on(app, FUNNELS, ended)


def _run(funnel: Document) -> str:
    """Tells the events of a clone that was taken up again from those of its first end."""
    return f"{funnel['_id']}:{funnel['clone'].get('generation', 0)}"


async def _users(app: App[FunnelRepos], funnel: Document) -> list[str]:
    account_id = object_id(funnel.get("account_id"))
    return await app.shared.users.active(account_id) if account_id else []
