"""The checks of clones are believed only because they find each kind of violation when one is planted."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from bson import ObjectId

from tests.support.drills.case import violations
from tests.support.drills.clones.case import OLD_KEY, CloneCase
from tests.support.drills.clones.checks import CHECKS
from tests.support.drills.clones.plan import CloneDrill, Planted
from tests.support.drills.history import Change
from tests.support.drills.planted import LATER, TAKEN_LATE, TAKEN_TWICE, Plant, assert_each_is_seen, set_field

STEPS = 3
STRANGER = ObjectId()


def step(case: CloneCase) -> dict[str, Any]:
    """The first of the clone."""
    return case.steps[0]


def write(case: CloneCase, old: str, new: str) -> None:
    """Change the first step's page."""
    assert old in step(case)["raw_html"]
    step(case)["raw_html"] = step(case)["raw_html"].replace(old, new)


def lead_back(kind: str) -> Plant[CloneCase]:
    """The first step's page and components still have what they had of this kind."""

    def plant(case: CloneCase) -> None:
        mine = {"images": "source_key", "forms": "source_form_id"}
        own = {"images": "key", "forms": "form_secret_id"}
        one = getattr(case, kind)[0]
        for image in case.images if kind == "images" else [one]:
            new, old = image[own[kind]], image[mine[kind]]
            step(case)["raw_html"] = step(case)["raw_html"].replace(new, old)

    return plant


def changed(collection: str, *steps: dict[str, Any]) -> Plant[CloneCase]:
    """Changes on the way that the end does not show."""

    def plant(case: CloneCase) -> None:
        id = case.id if collection == "funnels" else step(case)["_id"]
        case.changes.extend(Change(collection, id, one) for one in steps)

    return plant


def other_version(case: CloneCase) -> None:
    """The HTML of one version, the components of another."""
    edited = deepcopy(case.versions[0])
    for one in edited.steps:
        one["raw_html"] += "<p>new</p>"
    for one in edited.components:
        one["components"] += " "
    object.__setattr__(case, "versions", [edited, case.versions[0]])
    step(case)["raw_html"] += "<p>new</p>"


def drop_end(case: CloneCase) -> None:
    case.changes[:] = [one for one in case.changes if one.fields.get("pending") is not False or one.id != case.id]


def end_first(case: CloneCase) -> None:
    """The clone ends before its last step."""
    end = next(one for one in case.changes if one.id == case.id and one.fields.get("pending") is False)
    last = max(n for n, one in enumerate(case.changes) if one.state == "done")
    case.changes.remove(end)
    case.changes.insert(last, end)


def end_silently(case: CloneCase) -> None:
    (end,) = (one for one in case.changes if one.id == case.id and one.fields.get("pending") is False)
    end.fields.pop("events_due")


PLANTS: list[tuple[str, Plant[CloneCase]]] = [
    ("I1: the clone ended with 'x'", lambda case: case.funnel["clone"].update(error="x")),
    ("I1: the clone is not completed", lambda case: case.funnel.update(clone_failed=True)),
    ("I1: the clone is not completed", lambda case: case.funnel["clone"].update(finished_at=None)),
    ("I1: dead letters", lambda case: case.letters.append({"_id": 1})),
    ("I2: {id} is still held by other", lambda case: case.funnel.update(lease_owner="other")),
    ("I2: {step} is still held by None", lambda case: step(case).update(lease_until=LATER)),
    ("I2: funnels {id}: token went from 1 to 3", changed("funnels", {"token": 3})),
    ("I2: funnel.step {step}: became done without", changed("funnel.step", {"clone_state": "done"})),
    ("I5: funnel.step {step}: was done and became open", changed("funnel.step", {"clone_state": "open"})),
    (
        "I2: funnel.step {step}: claimed while one held it",
        changed("funnel.step", *TAKEN_TWICE),
    ),
    (
        "I3: funnels {id}: no holder for 0:59:58",
        changed("funnels", *TAKEN_LATE),
    ),
    ("I9: funnel: pending still set", lambda case: case.funnel.update(pending=True)),
    ("I9: funnel: in_progress still set", lambda case: case.funnel.update(in_progress=True)),
    ("I9: step {step}: pending and in_progress", lambda case: step(case).update(pending=True, in_progress=True)),
    ("I12: warnings ['x']", lambda case: case.funnel["clone"].update(warnings=["x"])),
    ("I12: the steps are copies of", lambda case: case.funnel["steps"].reverse()),
    ("I12: the steps are copies of", lambda case: case.funnel["steps"].pop()),
    ("I12: the steps are copies of", lambda case: case.funnel["steps"].append(case.funnel["steps"][0])),
    ("I12: steps {stranger} are not in", lambda case: case.steps.append({**step(case), "_id": STRANGER})),
    ("I12: step {step} has 0 documents", lambda case: case.components.remove(components(case))),
    ("I12: step {step} has 2 documents", lambda case: case.components.append({**components(case)})),
    ("I12: step {stranger} has 1 documents", lambda case: components(case).update(step_id=STRANGER)),
    ("I12: step {step}: HTML of no version", lambda case: write(case, "next", "neXt")),
    ("I12: step {step}: HTML of no version", lambda case: step(case).update(raw_html=None)),
    ("I12: step {step}: HTML of no version", lambda case: write(case, "key-of-the-preview", "undefined")),
    ("I12: step {step}: components of no version", lambda case: components(case).update(components="{{}}")),
    ("I12: step {step}: the mix of two versions", other_version),
    ("I12: step {step}: processed is", lambda case: step(case)["processed"].update(forms_processed=False)),
    ("I12: HTML of step {step} lead to {source}", lambda case: write(case, str(case.id), str(case.now.id))),
    ("I12: HTML of step {step} lead to", lead_back("images")),
    ("I12: HTML of step {step} lead to", lead_back("forms")),
    ("I12: HTML of step {step} lead to " + OLD_KEY, lambda case: write(case, "</html>", OLD_KEY)),
    (
        "I12: components of step {step} lead to {source}",
        lambda case: components(case).update(components=str(case.now.id)),
    ),
    ("I12: images {image_source} are not copied once", lambda case: case.images.pop(0)),
    ("I12: images {image_source} are not copied once", lambda case: case.images.append({**case.images[0]})),
    ("I12: image {image} does not open", lambda case: case.objects.pop(case.images[0]["key"])),
    ("I12: image {image} has other bytes", lambda case: case.objects.update({case.images[0]["key"]: b"x"})),
    ("I12: image {image} is not marked", lambda case: case.images[0].update(uploaded=False)),
    ("I12: pages show strange.png", lambda case: write(case, "</html>", '"https://s3.example/crm/strange.png"')),
    ("I14: objects {image} without a record", lambda case: case.images.pop(0)),
    ("I14: objects new/x.png without a record", lambda case: case.objects.update({"new/x.png": b""})),
    ("I12: forms {form_source} are not copied once", lambda case: case.forms.pop(0)),
    ("I12: forms {form_source} are not copied once", lambda case: case.forms.append({**case.forms[0]})),
    ("I12: form {form} has the secret", lambda case: case.forms[0].update(form_secret_id=form_source(case))),
    ("I12: form {form} is not as its source", lambda case: case.forms[0].update(fields=[])),
    ("I12: the source's funnel changed", lambda case: case.now.funnel.update(in_progress=True)),
    ("I12: the source's steps changed", lambda case: case.now.steps[0].update(lease_until=None)),
    ("I12: the source's components changed", lambda case: case.now.components.pop()),
    ("I12: the source's images changed", lambda case: case.now.images[0].update(clone_id=case.id)),
    ("I12: the source's forms changed", lambda case: case.now.forms[0].update(account_id=STRANGER)),
    ("I12: the source's objects changed", lambda case: case.now.objects.popitem()),
    ("I13: users were sent []", lambda case: case.messages.clear()),
    ("I13: users were sent ['funnel_cloning_completed', '", lambda case: case.messages.append({**case.messages[0]})),
    (
        "I13: users were sent ['funnel_cloning_failed']",
        lambda case: case.messages[0].update(event="funnel_cloning_failed"),
    ),
    ("I13: the CRM was sent []", lambda case: case.events.clear()),
    ("I13: the CRM was sent ['clone.completed', 'clone.com", lambda case: case.events.append({**case.events[0]})),
    ("I13: funnel_cloning_completed:{id}:0 not", lambda case: case.messages[0].update(state="given_up")),
    ("I13: events are still due", lambda case: case.funnel.update(events_due=[{}])),
    ("I13: received was nothing", set_field("received", [])),
    ("I13: received was x", set_field("received", ["x"])),
    ("I13: ended 0 times", drop_end),
    ("I13: ended 2 times", changed("funnels", {"pending": False})),
    ("I13: ended with the events none", end_silently),
    ("I13: ended when 2 of 3 steps were done", end_first),
    ("I17: steps {step} of another account", lambda case: step(case).update(account_id=STRANGER)),
    ("I17: components", lambda case: components(case).update(account_id=STRANGER)),
    ("I17: images", lambda case: case.images[0].update(account_id=STRANGER)),
    ("I17: forms {form} of", lambda case: case.forms[0].update(account_id=case.now.funnel["account_id"])),
    ("I17: messages", lambda case: case.messages[0].update(account_id=STRANGER)),
    ("I17: events", lambda case: case.events[0].update(account_id=STRANGER)),
]


def components(case: CloneCase) -> dict[str, Any]:
    """Of the first step."""
    return next(one for one in case.components if one["step_id"] == step(case)["_id"])


def form_source(case: CloneCase) -> str:
    return str(case.forms[0]["source_form_id"])


async def test_each_kind_of_violation_is_seen(clone_drill: CloneDrill) -> None:
    drill = clone_drill
    planted = drill.plan.plant(STEPS)
    await drill.run_once()
    drill.check()

    case = drill.plan.case(planted)
    assert (len(case.steps), len(case.components), len(case.images), len(case.forms)) == (3, 3, 6, 2)
    assert len(case.objects) == 12
    assert case.received == [case.messages[0]["_id"]]
    assert len(case.changes) > STEPS
    assert_each_is_seen(case, PLANTS, CHECKS, _names(case))
    _assert_a_step_may_be_as_any_version_of_its_source(case)

    _spoil_the_servers(drill, planted)
    found = {one.split(": ")[1] for one in drill.plan.violations(case.max_orphaned)}
    assert found == {"I2", "I12", "I13", "I14", "I17"}, found


def _names(case: CloneCase) -> dict[str, object]:
    image, form = case.images[0], case.forms[0]
    funnel = {"id": case.id, "step": step(case)["_id"], "source": case.now.id, "stranger": STRANGER}
    images = {"image": image["key"], "image_source": image["source_key"]}
    return {**funnel, **images, "form": form["_id"], "form_source": form["source_form_id"]}


def _assert_a_step_may_be_as_any_version_of_its_source(spotless: CloneCase) -> None:
    edited = deepcopy(spotless.versions[0])
    for one in edited.steps:
        one["raw_html"] += "<p>new</p>"
    case = replace(deepcopy(spotless), versions=[edited, spotless.versions[0]])
    assert violations(case, CHECKS) == []
    step(case)["raw_html"] += "<p>new</p>"
    assert violations(case, CHECKS) == []


def _spoil_the_servers(drill: CloneDrill, planted: Planted) -> None:
    db = drill.world.db
    db["funnel.step"].update_one({"funnel_id": planted.clone}, {"$set": {"raw_html": str(planted.original.id)}})
    db["funnel.step"].update_one({"_id": planted.original.steps[0]}, {"$set": {"lease_owner": None}})
    drill.world.upload(f"{ObjectId()}/{planted.original.mark} photo.jpg", b"orphan")
    failed = {"event": "funnel_cloning_failed", "state": "delivered", "data": {"funnel_id": str(planted.clone)}}
    db["outbox"].insert_one(failed)
    for token in (2, 3):
        db["funnels"].update_one({"_id": planted.clone}, {"$set": {"token": token, "lease_until": LATER}})
