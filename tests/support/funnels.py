"""Funnels as the CRM keeps them, for tests: an original with everything that can be copied, and its clone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from bson import ObjectId

from tests.support.world import World

Document = dict[str, Any]

DOMAIN = "preview.example"
TOKEN = 'key-of-the-preview-"domain"-$1'


class Original:
    """A funnel with `steps` steps. Each page mentions the funnel, the next step, two images (one of them is on every
    page), a form (the same on every page) and, if wanted, the chat widget."""

    def __init__(self, world: World, steps: int = 2, chat: bool = True, **changes: Any) -> None:
        self.world = world
        self.id = ObjectId()
        self.steps = [ObjectId() for _ in range(steps)]
        self.shared = self.image("logo & co.png", b"the logo")
        self.unused = self.image("unused.png", b"on no page")
        self.own = [self.image("photo.jpg", f"photo {n}".encode()) for n in range(steps)]
        self.form = self.add_form("Contact")
        document = {"_id": self.id, "name": "Original", "account_id": world.account, "live_chat_widget": chat}
        document |= {"steps": self.steps, "pending": False, "in_progress": False}
        world.db["funnels"].insert_one(document | changes)
        for n in range(steps):
            self.write(n, self.page(n))

    def image(self, name: str, body: bytes | None, **changes: Any) -> str:
        """Upload an image, unless it has no body, and record it."""
        key = f"{uuid4()}/{name}"
        if body is not None:
            self.world.upload(key, body)
        record = {"ref_id": self.id, "account_id": self.world.account, "key": key, "fileName": name, "fileSize": 8}
        about = {"bucket": "crm", "ContentType": "image/png", "url": f"https://s3.example/crm/{key}"}
        shape = {"uploaded": True, "origin": "funnels", "additionalInfo": about}
        self.world.db["sites_images"].insert_one(record | shape | changes)
        return key

    def add_form(self, name: str, **changes: Any) -> str:
        """Record a form; returns its secret id."""
        secret = str(uuid4())
        form = {"form_secret_id": secret, "form_name": name, "account_id": self.world.account, "fields": [{"a.b": 1}]}
        self.world.db["forms"].insert_one(form | changes)
        return secret

    def page(self, n: int) -> str:
        following = self.steps[(n + 1) % len(self.steps)]
        return (
            f'<html><body data-funnel="{self.id}"><a href="/f/{self.id}/s/{following}">next</a>'
            f'<img src="https://s3.example/crm/{self.shared}"><img src="https://s3.example/crm/{self.own[n]}">'
            f'<iframe src="https://crm.example/userform/{self.form}?x=1"></iframe>'
            '<script api-key="old key" custom-chat-widget="true" src="chat.js"></script></body></html>'
        )

    def write(self, n: int, html: str | None, components: object = None) -> None:
        """Write a step and its components, which tell the same unless others are given."""
        step = {"funnel_id": self.id, "name": f"Step {n}", "raw_html": html, "domain_id": "d", "version": 1}
        codes = {"header_tracking_code": "<!-- h -->", "footer_tracking_code": "<!-- f -->", "slug": f"step-{n}"}
        self.world.db["funnel.step"].replace_one({"_id": self.steps[n]}, step | codes, upsert=True)
        text = json.dumps({"blocks": [{"html": html}]}) if components is None else components
        kept = {"account_id": self.world.account, "funnel_id": self.id, "step_id": self.steps[n], "components": text}
        self.world.db["funnel.step.components"].replace_one({"step_id": self.steps[n]}, kept, upsert=True)

    @property
    def references(self) -> list[str]:
        """Everything in it that must not be found in a clone."""
        images = [image["key"] for image in self.world.db["sites_images"].find({"ref_id": self.id})]
        return [str(self.id), *map(str, self.steps), *images, self.form]


def new_clone(world: World, original: Original | ObjectId, **changes: Any) -> ObjectId:
    """Ask for a clone as the CRM does."""
    original_id = original.id if isinstance(original, Original) else original
    document: Document = {"name": "Original (Clone)", "account_id": world.account, "original_funnel_id": original_id}
    return ObjectId(world.db["funnels"].insert_one({**document, "pending": True, **changes}).inserted_id)


def give_chat_token(world: World) -> None:
    world.db["support_tokens"].insert_one({"domain": DOMAIN, "token": TOKEN})


def funnel_of(world: World, id: ObjectId) -> Document:
    found = world.db["funnels"].find_one({"_id": id})
    assert found
    return found


def steps_of(world: World, id: ObjectId) -> list[Document]:
    """In the order of the funnel."""
    order = funnel_of(world, id).get("steps") or []
    found = list(world.db["funnel.step"].find({"funnel_id": id}))
    assert sorted(order) == sorted(step["_id"] for step in found)
    return sorted(found, key=lambda step: order.index(step["_id"]))


def components_of(world: World, step: Mapping[str, Any]) -> Document:
    """The one document of a step."""
    (found,) = world.db["funnel.step.components"].find({"step_id": step["_id"]})
    return dict(found)


def images_of(world: World, id: ObjectId) -> dict[str, Document]:
    """{source key: record} of a clone."""
    return {image["source_key"]: image for image in world.db["sites_images"].find({"ref_id": id})}


def forms_of(world: World, id: ObjectId) -> list[Document]:
    return list(world.db["forms"].find({"funnel_id": id}))


def ago(minutes: float) -> datetime:
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() - minutes * 60, UTC)


def assert_whole(world: World, id: ObjectId, original: Original) -> None:
    """A finished clone is a copy: a step for each step, in order, that leads nowhere but to itself."""
    funnel = funnel_of(world, id)
    assert (funnel["pending"], funnel["in_progress"]) == (False, False), funnel["clone"]
    assert funnel["clone"]["error"] is None
    steps = steps_of(world, id)
    assert [step["original_step_id"] for step in steps] == original.steps
    images = images_of(world, id)
    for step in steps:
        texts = f"{step['raw_html']}{components_of(world, step)['components']}"
        assert [reference for reference in original.references if reference in texts] == []
        assert (step["pending"], step["in_progress"]) == (False, False)
        assert set(step["processed"].values()) == {True}
    for source_key, image in images.items():
        assert image["uploaded"] is True
        assert world.download(image["key"]) == world.download(source_key)
