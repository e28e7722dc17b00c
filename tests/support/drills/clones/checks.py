"""What reliability.md promises of a clone (I1-I3, I9, I12-I14, I17), compared with what it left in MongoDB and S3.

The pages that a clone should have are the source's with one text replaced by another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html import escape

from bson import ObjectId

from tests.support.drills.case import Check, leases_released, listed, of_one_account, one_writer
from tests.support.drills.clones.case import COMPLETED, OLD_KEY, CloneCase, Source

OWN = ("_id", "account_id", "funnel_id", "form_secret_id", "source_form_id", "createdAt", "updatedAt")
"""What a copied form does not share with its source."""


def ended(case: CloneCase) -> Iterator[str]:
    """I1 and I9: it has come to its end, and no flag says otherwise."""
    if error := case.funnel["clone"].get("error"):
        yield f"I1: the clone ended with {error!r}"
    if case.funnel.get("clone_failed") or not case.funnel["clone"].get("finished_at"):
        yield "I1: the clone is not completed"
    if warnings := case.funnel["clone"].get("warnings"):
        yield f"I12: warnings {warnings}"
    for name, one in (("funnel", case.funnel), *((f"step {one['_id']}", one) for one in case.steps)):
        if flags := [flag for flag in ("pending", "in_progress") if one.get(flag) is not False]:
            yield f"I9: {name}: {' and '.join(flags)} still set"
    if case.letters:
        yield f"I1: dead letters {case.letters}"


def nothing_held(case: CloneCase) -> Iterator[str]:
    """I2 and I14: no lease is left."""
    yield from leases_released((case.funnel, *case.steps))


def bijection(case: CloneCase) -> Iterator[str]:
    """I12: one step for each of the source's, in its order, and one document of components for each."""
    by_id = {one["_id"]: one for one in case.steps}
    in_order = case.funnel["steps"]
    order = [by_id[id]["original_step_id"] if id in by_id else id for id in in_order]
    if order != case.frozen:
        yield f"I12: the steps are copies of {listed(order)}, not of {listed(case.frozen)} in this order"
    if extra := by_id.keys() - set(in_order):
        yield f"I12: steps {listed(extra)} are not in the funnel"
    owned = Counter(one["step_id"] for one in case.components)
    for step in owned.keys() | by_id.keys():
        if (owned[step], step in by_id) != (1, True):
            yield f"I12: step {step} has {owned[step]} documents of components"


def pages_are_copies(case: CloneCase) -> Iterator[str]:
    """I12: both texts of a step are one version's of its source, with every reference replaced and nothing else."""
    for step in case.steps:
        wanted = [_expected(case, one, step["original_step_id"]) for one in case.versions]
        texts = case.texts(step)
        if texts not in wanted:
            wrong = [name for n, name in enumerate(TEXTS) if texts[n] not in {one[n] for one in wanted}]
            yield f"I12: step {step['_id']}: {' and '.join(wrong) or 'the mix of two versions'} of no version"
        if step.get("processed") != dict.fromkeys(PARTS, True):
            yield f"I12: step {step['_id']}: processed is {step.get('processed')}"


def _expected(case: CloneCase, source: Source, step: ObjectId) -> tuple[str, str]:
    html, components = source.texts(step)
    for old, new in case.replacements.items():
        html, components = html.replace(old, new), components.replace(old, new)
    key = escape(case.token)
    return html.replace(OLD_KEY, key), components.replace(OLD_KEY, key)


def no_source_reference(case: CloneCase) -> Iterator[str]:
    """I12: nothing leads to the source."""
    known = sorted({one for version in case.versions for one in version.references})
    for step in case.steps:
        for name, text in zip(TEXTS, case.texts(step), strict=True):
            if left := [one for one in known if one in str(text)]:
                yield f"I12: {name} of step {step['_id']} lead to {listed(left)}"


def images_open(case: CloneCase) -> Iterator[str]:
    """I12: an image for each of the source's, with its bytes, and none in a page that is not the clone's own."""
    sources = {one["key"] for one in case.versions[0].images}
    copied = Counter(one["source_key"] for one in case.images)
    if wrong := [key for key in copied.keys() | sources if (copied[key], key in sources) != (1, True)]:
        yield f"I12: images {listed(wrong)} are not copied once"
    for image in case.images:
        bytes_there = case.objects.get(image["key"])
        if bytes_there is None or bytes_there != case.versions[0].objects.get(image["source_key"]):
            yield f"I12: image {image['key']} {'has other bytes' if bytes_there is not None else 'does not open'}"
        if image["uploaded"] is not True:
            yield f"I12: image {image['key']} is not marked as there"
    own = {one["key"] for one in case.images}
    shown = {key for step in case.steps for text in case.texts(step) for key in IMAGE.findall(str(text))}
    if strange := shown - own:
        yield f"I12: pages show {listed(strange)}, which is no image of the clone"


def no_litter(case: CloneCase) -> Iterator[str]:
    """I14: no object without a record."""
    recorded = {one["key"] for one in (*case.images, *case.versions[0].images)}
    if orphans := case.objects.keys() - recorded:
        yield f"I14: objects {listed(orphans)} without a record"


def forms_are_own(case: CloneCase) -> Iterator[str]:
    """I12: one copy of each form, of the new account, and otherwise as it was."""
    sources = {one["form_secret_id"]: one for one in case.versions[0].forms}
    copies = Counter(one["source_form_id"] for one in case.forms)
    if wrong := [id for id in copies.keys() | sources if (copies[id], id in sources) != (1, True)]:
        yield f"I12: forms {listed(wrong)} are not copied once"
    for form in case.forms:
        source = sources.get(form["source_form_id"], {})
        if form["form_secret_id"] in sources:
            yield f"I12: form {form['_id']} has the secret of a source"
        if {**source, **dict.fromkeys(OWN)} != {**form, **dict.fromkeys(OWN)}:
            yield f"I12: form {form['_id']} is not as its source"


def source_is_untouched(case: CloneCase) -> Iterator[str]:
    """I12: byte for byte as it was."""
    last = case.versions[-1]
    for name in ("funnel", "steps", "components", "images", "forms", "objects"):
        if getattr(last, name) != getattr(case.now, name):
            yield f"I12: the source's {name} changed"


def one_completion(case: CloneCase) -> Iterator[str]:
    """I13: sent once, under one id, to those whom it concerns."""
    sent = [one for one in case.messages if one["event"] != "funnel_cloning_progress"]
    if [one["event"] for one in sent] != [COMPLETED]:
        yield f"I13: users were sent {sorted(one['event'] for one in sent)}"
    if [one["type"] for one in case.events] != ["clone.completed"]:
        yield f"I13: the CRM was sent {sorted(one['type'] for one in case.events)}"
    if waiting := [one["_id"] for one in sent if one["state"] != "delivered"]:
        yield f"I13: {listed(waiting)} not delivered"
    if case.funnel.get("events_due"):
        yield "I13: events are still due"
    if case.received is not None and set(case.received) != {one["_id"] for one in sent}:
        yield f"I13: received was {listed(set(case.received)) or 'nothing'}"


def ended_by_one_update(case: CloneCase) -> Iterator[str]:
    """I13: the update that clears `pending` comes once, brings the events and finds all steps done."""
    ends = 0
    done: set[ObjectId] = set()
    for change in case.changes:
        if change.collection == "funnel.step" and change.state:
            (done.add if change.state == "done" else done.discard)(change.id)
        if change.id != case.id or change.fields.get("pending") is not False:
            continue
        ends += 1
        due = {one["event_id"] for one in change.fields.get("events_due") or []}
        if due != {one["_id"] for one in (*case.messages, *case.events)}:
            yield f"I13: ended with the events {listed(due) or 'none'}"
        if len(done) < len(case.frozen):
            yield f"I13: ended when {len(done)} of {len(case.frozen)} steps were done"
    if ends != 1:
        yield f"I13: ended {ends} times"


def one_tenant(case: CloneCase) -> Iterator[str]:
    """I17: all that was made belongs to the account of the clone."""
    kinds = ("steps", "components", "images", "forms", "messages", "events")
    yield from of_one_account(case, kinds, case.funnel["account_id"])


TEXTS = ("HTML", "components")
PARTS = ("images_processed", "forms_processed", "chat_plugin_processed")
IMAGE = re.compile(r"https://s3\.example/crm/([^\"\\]+)")
"""The key of an image, as the pages of the source have it."""

CHECKS: tuple[Check[CloneCase], ...] = (
    ended,
    nothing_held,
    one_writer,
    bijection,
    pages_are_copies,
    no_source_reference,
    images_open,
    no_litter,
    forms_are_own,
    source_is_untouched,
    one_completion,
    ended_by_one_update,
    one_tenant,
)
