"""The demo's part on clones: a funnel with pages, images, a form and a chat widget is cloned within its account."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from uuid import uuid4

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.cli.demo.demo_run import DemoRun, Facts
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.funnel_repos import FunnelRepos
from pipeline_engine.run_once import run_once
from pipeline_engine.workers import open_app

STEPS, IMAGES = 5, 12
DOMAIN = "preview.sample.example"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(20_000)


async def run(demo: DemoRun) -> Facts:
    """Clone a funnel and count what was copied. Raises: Permanent when the clone fails."""
    settings = demo.settings.model_copy(update={"preview_domain": DOMAIN})
    async with open_app(settings) as connected:
        app = connected.with_repos(FunnelRepos.open)
        original = await _original(app, demo)
        whose = {"account_id": demo.crm.account, "name": "Spring sale (Clone)"}
        clone = ObjectId()
        await app.database["funnels"].insert_one(
            {"_id": clone, **whose, "original_funnel_id": original, "pending": True}
        )
        (result,) = (await run_once(settings, ["funnels.clone"])).results
        return [*await _figures(app, clone), ("seconds", result.seconds), ("user events", await _events(demo, clone))]


async def _original(app: App[FunnelRepos], demo: DemoRun) -> ObjectId:
    funnel, steps, form = ObjectId(), [ObjectId() for _ in range(STEPS)], str(uuid4())
    whose, database = {"account_id": demo.crm.account}, app.database
    keys = [f"{uuid4()}/picture {n}.png" for n in range(IMAGES)]
    for key in keys:
        await app.storage.put_stream(key, _picture(), "image/png")
        record = {"ref_id": funnel, "key": key, "fileName": key.split("/")[1], "fileSize": len(PICTURE)}
        await database["sites_images"].insert_one({**whose, **record, "uploaded": True})
    await database["forms"].insert_one({**whose, "form_secret_id": form, "form_name": "Order"})
    await database["support_tokens"].insert_one({"domain": DOMAIN, "token": "sample-chat-key"})
    about = {"name": "Spring sale", "steps": steps, "live_chat_widget": True}
    await database["funnels"].insert_one({"_id": funnel, **whose, **about})
    for n, step in enumerate(steps):
        following = steps[(n + 1) % STEPS]
        html = _page(funnel, following, [keys[0], *keys[n + 1 :: STEPS]], form)
        page = {"funnel_id": funnel, "name": f"Page {n + 1}", "raw_html": html}
        await database["funnel.step"].insert_one({"_id": step, **whose, **page})
        components = json.dumps([{"type": "page", "html": html}])
        kept = {"funnel_id": funnel, "step_id": step, "components": components}
        await database["funnel.step.components"].insert_one({**whose, **kept})
    return funnel


def _page(funnel: ObjectId, following: ObjectId, keys: list[str], form: str) -> str:
    pictures = "".join(f'<img src="https://files.sample.example/{key}">' for key in keys)
    chat = '<script custom-chat-widget="true" api-key="the original\'s"></script>'
    return f'<a href="/funnel/{funnel}/{following}">On</a>{pictures}<iframe src="/userform/{form}"></iframe>{chat}'


async def _picture() -> AsyncIterator[bytes]:
    yield PICTURE


async def _figures(app: App[FunnelRepos], clone: ObjectId) -> Facts:
    funnel = await app.repos.funnels.get(clone) or {}
    state = funnel["clone"]
    if state["error"]:
        raise Permanent(f"the clone failed: {state['error']}", "demo")
    manifest = state["manifest"]
    lines = [(what, ", ".join(f"{n} {kind}" for kind, n in counts.items())) for what, counts in manifest.items()]
    return [*lines, ("warnings", len(state["warnings"]))]


async def _events(demo: DemoRun, clone: ObjectId) -> str:
    """The names of the socket events that the users of the account received."""
    records = await Sink(demo.socket_sink).records()
    mine = [one for one in records if (one.get("payload") or {}).get("data", {}).get("funnel_id") == str(clone)]
    return ", ".join(dict.fromkeys(one["event"] for one in mine))
