"""Ends a clone, or one run over it: completed, failed or cancelled.

The job that ends the last step also ends the clone. When its process crashes in between, the sweep ends the clone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.events import relay
from pipeline_engine.domain.funnels.clone_events import (
    Event,
    ProgressNotifier,
    active_users,
    completed_events,
    failed_event,
)
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.logs import clean
from pipeline_engine.repos.funnel_repos import FunnelRepos
from pipeline_engine.repos.funnels import FUNNELS

log = logs.get(__name__)

Document = Mapping[str, Any]

CLEAN_UP_RETRY_SECONDS = 1.0
"""Until the next look whether every step of a cancelled clone has stopped."""
MAX_CONCURRENT_DELETES = 8


async def end_if_all_steps_ended(
    app: App[FunnelRepos],
    planned: Document,
    progress: ProgressNotifier | None = None,
    counted: dict[str, Any] | None = None,
) -> None:
    """End a planned clone if no step of it is open; otherwise notify its users of the progress, if any.

    `counted`: a filter for the steps that count, by default all. May be called any number of times and by several
    processes: one update ends the clone, the others change nothing.
    """
    counts = await app.repos.funnel_steps.counts(planned, counted)
    done, total = counts.get("done", 0), len(planned["clone"]["source_steps"])
    if counts.get("open"):
        if progress and done:
            await progress.notify_progress(app, planned, done)
    elif done == total:
        await _complete(app, planned)
    else:
        await end_run(app, planned, await _why_steps_failed(app, planned, total - done))


async def _why_steps_failed(app: App[FunnelRepos], planned: Document, failed: int) -> str:
    steps = await app.repos.funnel_steps.failed(planned)
    reasons = list(dict.fromkeys(str(one.get("last_error")) for one in steps))
    why = "; ".join(reasons) or "their documents are gone or in quarantine"
    return f"{failed} of {planned['clone']['steps_total']} steps failed: {why}"


async def _complete(app: App[FunnelRepos], planned: Document) -> None:
    manifest, warnings = await _manifest(app, planned), await app.repos.components.errors(planned)
    copied = manifest["copied"]
    values = {
        "clone.images": copied["images"],
        "clone.forms": copied["forms"],
        "clone.steps_done": copied["steps"],
        "clone.manifest": manifest,
        "clone.warnings": warnings,
        "clone.error": None,
    }
    events = completed_events(planned, await active_users(app, planned), copied, len(warnings))
    await _end(app, planned, events, values)


async def _manifest(app: App[FunnelRepos], planned: Document) -> dict[str, dict[str, int]]:
    """How much was copied, how many references lead to the copies now, how many are empty, how many are left."""
    steps = await app.repos.funnel_steps.of_clone(planned, "clone_counts")
    relinked: Counter[str] = Counter()
    for step in steps:
        relinked.update(step.get("clone_counts") or {})
    reset = relinked.pop("reset", 0)
    images, forms = await app.repos.images.count(planned), await app.repos.forms.count(planned)
    copied = {"steps": len(steps), "components": len(steps), "images": images, "forms": forms}
    return {"copied": copied, "relinked": dict(relinked), "reset": {"references": reset}, "left": {"references": 0}}


async def end_run(app: App[FunnelRepos], seen: Document, error: str) -> None:
    """End a failed run. The next run is due one sweep interval later; after the last run, the clone fails for good."""
    attempts = seen["clone"]["attempts"] + 1
    if attempts >= app.settings.clone_runs:
        await fail_clone(app, seen, error, **{"clone.attempts": attempts})
        return
    values = {"clone.attempts": attempts, "clone.error": clean(error)}
    if await app.repos.funnels.schedule_next_run(seen, app.settings.funnel_sweep_seconds, values):
        log.warning("clone.run_failed", funnel_id=str(seen["_id"]), run=attempts)


async def fail_clone(app: App[FunnelRepos], seen: Document, error: str, **values: Any) -> None:
    """End the clone as failed, with `values` set in its document. Only an operator makes it due again."""
    error = clean(error)
    event = failed_event(seen, await active_users(app, seen), error)
    await _end(app, seen, [event], {**values, "clone_failed": True, "clone.error": error}, error)


async def clean_up(app: App[FunnelRepos], held: Document) -> Outcome | None:
    """Remove everything a clone has made and end it as cancelled. Snoozes for a second while a step of it still runs.

    Objects go before the records that name them, so that a crash leaves no object without a record.
    """
    if await app.repos.funnel_steps.cancel_unclaimed(held):
        await app.repos.funnels.release(held, {})
        return Snooze(after=CLEAN_UP_RETRY_SECONDS)
    images = await app.repos.images.of_clone(held)
    await _delete_objects(app, [image["key"] for image in images])
    await app.repos.images.remove_keys(held, [image["source_key"] for image in images])
    await app.repos.forms.remove(held)
    await app.repos.components.remove(held)
    await app.repos.funnel_steps.remove(held)
    await _end_cancelled(app, held)
    return None


async def _delete_objects(app: App[FunnelRepos], keys: Sequence[str]) -> None:
    places = asyncio.Semaphore(MAX_CONCURRENT_DELETES)

    async def delete(key: str) -> None:
        async with places:
            await app.storage.delete(key)

    await asyncio.gather(*map(delete, keys))


async def _end_cancelled(app: App[FunnelRepos], held: Document) -> None:
    fresh: dict[str, Any] = {"clone.source_steps": None, "clone.steps_total": 0, "clone.steps_done": 0, "steps": []}
    event = failed_event(held, await active_users(app, held), "cancelled")
    await _end(app, held, [event], {**fresh, "clone.attempts": 0, "clone.error": "cancelled", "clone.warnings": []})


async def _end(
    app: App[FunnelRepos], seen: Document, events: list[Event], values: dict[str, Any], complaint: str | None = None
) -> None:
    ended = await app.repos.funnels.end(seen, events, values, complaint)
    if ended is None:
        return  # another process ended it first, or took it over
    warnings = len(values.get("clone.warnings") or ())
    # The reason may be the message of a foreign exception, which may quote a page: it stands in the document only.
    log.info("clone.ended", funnel_id=str(seen["_id"]), status=_status(values), warnings=warnings)
    await relay.publish_due(app, FUNNELS, ended)


def _status(values: Mapping[str, Any]) -> str:
    if values.get("clone_failed"):
        return "failed"
    return "cancelled" if values["clone.error"] else "completed"
