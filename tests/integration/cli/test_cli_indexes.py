"""`indexes` and `doctor` while documents clash with a unique index."""

from __future__ import annotations

from bson import ObjectId

from tests.support.command_line import CommandLine
from tests.support.world import World

STAGE_INDEX = "pipeline_stages.account_id_1_pipeline_id_1_name_key_1"


def test_both_exit_1_and_say_which_documents_clash(world: World, engine: CommandLine) -> None:
    stages = world.db["pipeline_stages"]
    stages.drop_indexes()
    twin = {"account_id": world.account, "pipeline_id": world.pipeline, "name_key": "won"}
    ids = [stages.insert_one({"_id": ObjectId(), **twin}).inserted_id for _ in range(2)]

    indexes, doctor = engine("indexes"), engine("doctor")

    assert (indexes.returncode, doctor.returncode) == (1, 1)
    assert f"not created: {STAGE_INDEX}: documents with the same key: {ids[0]}, {ids[1]}" in indexes.stdout
    assert f"missing: {STAGE_INDEX}" in doctor.stdout
    stages.delete_one({"_id": ids[0]})
    assert engine("indexes").returncode == 0
    assert engine("doctor").returncode == 0
