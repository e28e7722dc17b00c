"""Names of what a clone makes: the same whenever they are made, so that a repeat overwrites itself."""

from __future__ import annotations

from uuid import UUID, uuid5

from bson import ObjectId

from pipeline_engine.ids import fingerprint, seconds_of

NAMESPACE = UUID("9d0c7a52-5f6e-4b1e-8a37-0f6d2f0f6c11")


def clone_uuid(clone_id: ObjectId, source: str) -> str:
    """The uuid of what stands for `source`, a key or a secret id, in the clone."""
    return str(uuid5(NAMESPACE, f"{clone_id}:{source}"))


def clone_step_id(clone_id: ObjectId, source_step: ObjectId) -> ObjectId:
    """The id of the clone's step; it bears the time of the clone."""
    return ObjectId(seconds_of(clone_id.generation_time) + fingerprint(clone_id, source_step, size=8))
