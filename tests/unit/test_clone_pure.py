"""The decisions of a clone that need no server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from bson import ObjectId

from pipeline_engine import settings, workers
from pipeline_engine.cron import cron_jobs
from pipeline_engine.domain.funnels.clone_map import NAMESPACE, clone_step_id, clone_uuid, image_key
from pipeline_engine.domain.funnels.control import status_of
from pipeline_engine.domain.funnels.placeholders import in_order, placeholder
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.storage_errors import refuse_bad_key

CLONE, OTHER = ObjectId("6b0000000000000000000001"), ObjectId("6b0000000000000000000002")
A, B, C = ObjectId(), ObjectId(), ObjectId()
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.covers("FC-01")
def test_funnels_are_looked_for_every_five_minutes() -> None:
    configured = settings.load(_env_file=None)
    system, sweep = workers.sweeps()["funnels.clone"]
    (job,) = cron_jobs([(sweep.every(configured), sweep)], {sweep.name: lambda: None})
    assert (job.minute, job.second) == (set(range(0, 60, 5)), {0})
    assert system.enabled(configured)
    assert not system.enabled(settings.load(_env_file=None, qm_funnels_clone=False))
    assert configured.funnels_per_run == 3


def test_names_are_the_same_for_the_same_and_others_for_others() -> None:
    assert clone_uuid(CLONE, "a") == clone_uuid(CLONE, "a") == str(UUID(clone_uuid(CLONE, "a")))
    assert len({clone_uuid(CLONE, "a"), clone_uuid(CLONE, "b"), clone_uuid(OTHER, "a")}) == 3
    assert clone_step_id(CLONE, A) == clone_step_id(CLONE, A)
    assert len({clone_step_id(CLONE, A), clone_step_id(CLONE, B), clone_step_id(OTHER, A)}) == 3
    assert clone_step_id(CLONE, A).generation_time == CLONE.generation_time


def test_a_form_id_begins_as_its_source_does_so_that_it_stays_a_name_in_css() -> None:
    for source in [str(uuid4()) for _ in range(50)] + ["contact-1", "1-contact", "ABCDEF"]:
        new = clone_uuid(CLONE, source)
        assert new[0].isdigit() == source[0].isdigit()
        assert new == clone_uuid(CLONE, source) == str(UUID(new))


@pytest.mark.parametrize(
    ("source_key", "name", "expected"),
    [
        ("u/photo 1.png", "photo 1.png", "photo 1.png"),
        ("u/photo.png", None, "photo.png"),
        ("u/photo.png", "", "photo.png"),
        ("u/süß.png", "süß & (1).png", "süß & (1).png"),
        ("u/x", "../../etc/passwd", "etcpasswd"),
        ("u/x", "a\r\nb\x00.png", "ab.png"),
        ("u/", None, "image"),
        ("x", "\ud800", "image"),
    ],
)
@pytest.mark.covers("FC-14", "FC-X14")
def test_a_key_is_a_uuid_and_the_name(source_key: str, name: object, expected: str) -> None:
    folder, _, file = image_key(CLONE, source_key, name).partition("/")
    assert folder == str(uuid5(NAMESPACE, f"{CLONE}:{source_key}"))  # ever: a half-made clone has copies under it
    assert file.lstrip(".") == expected


@pytest.mark.parametrize("name", ["../x", "a..b", "..", "é" * 2000, "a/b/c", "\x85", "x" * 5000 + ".png"])
def test_no_name_makes_a_key_that_storage_refuses(name: str) -> None:
    key = image_key(CLONE, "some/key.png", name)
    try:
        refuse_bad_key(key)
    except Permanent as refused:
        pytest.fail(str(refused))
    assert key.count("/") == 1


@pytest.mark.covers("FC-X14")
def test_two_images_of_one_name_have_two_keys() -> None:
    assert image_key(CLONE, "a/logo.png", "logo.png") != image_key(CLONE, "b/logo.png", "logo.png")


@pytest.mark.parametrize(
    ("listed", "there", "expected"),
    [
        ([B, A], [A, B, C], [B, A, C]),
        ([str(B), A, A], [A, B], [B, A]),
        ([ObjectId(), None, [A], B], [B, A], [A, B]),
        ([[B, A]], [A, B], [B, A]),
        ([{"_id": B}, {"_id": str(A)}, {}], [A, B], [B, A]),
        ([[[C, [B]]], {"_id": [A]}], [A, B, C], [C, B, A]),
        (None, [A, B], [A, B]),
        ("x", [A], [A]),
        ([], [], []),
    ],
)
@pytest.mark.covers("FC-X10")
def test_order_is_what_the_funnel_lists_and_then_the_rest(
    listed: object, there: list[ObjectId], expected: list[ObjectId]
) -> None:
    assert in_order(listed, there) == expected


@pytest.mark.covers("FC-09")
def test_a_placeholder_bears_nothing_of_how_its_source_was_made() -> None:
    made: dict[str, Any] = {"clone_id": A, "clone_state": "done", "token": 9, "lease_owner": "x", "lease_until": NOW}
    made |= {"attempts": 3, "failures": 2, "crashes": 1, "last_error": "x", "clone_counts": {}, "flag_seen_at": NOW}
    source = {"_id": B, "name": "Home", "funnel_id": A, "raw_html": "<p>", "pending": False, **made}

    new = placeholder(source, {"_id": CLONE, "account_id": C}, NOW)

    assert (new["name"], new["raw_html"], new["pending"], new["clone_id"]) == ("Home", None, True, CLONE)
    assert (new["clone_state"], new["version"]) == ("open", int(NOW.timestamp() * 1000))
    assert made.keys() & new.keys() == {"clone_id", "clone_state"}


@pytest.mark.parametrize(
    ("funnel", "status"),
    [
        ({"pending": True}, "waiting"),
        ({"pending": True, "in_progress": True}, "running"),
        ({"pending": True, "clone": {"next_at": NOW, "error": "x"}}, "resting"),
        ({"pending": True, "in_progress": True, "clone": {"cancel_requested": True}}, "cancelling"),
        ({"pending": False, "clone": {"finished_at": NOW, "error": None}}, "completed"),
        ({"pending": False, "clone": {"finished_at": NOW, "error": "x"}}, "failed"),
        ({"pending": False, "clone": {"finished_at": NOW, "error": "cancelled"}}, "cancelled"),
        ({"pending": False}, "not a clone"),
    ],
)
def test_how_it_stands(funnel: dict[str, Any], status: str) -> None:
    assert status_of(funnel) == status
