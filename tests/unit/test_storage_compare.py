"""Whether an object counts as copied, by what S3 answers about it and about its source."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from pipeline_engine.errors import Transient
from pipeline_engine.providers.storage_copy import COPY_PART_BYTES, MAX_SIMPLE_COPY_BYTES, Copier

KMS, DOUBLE_KMS = {"ServerSideEncryption": "aws:kms"}, {"ServerSideEncryption": "aws:kms:dsse"}
OWN_KEYS = {"ServerSideEncryption": "AES256"}
SOURCE = {"ContentLength": 5, "ETag": '"aa"'}
COPY = {"ContentLength": 5, "ETag": '"bb"'}


@dataclass
class Answers:
    """An S3 client that answers so about the objects `a` and `b`."""

    heads: dict[str, dict[str, Any]]
    copied: dict[str, Any]

    async def head_object(self, Key: str, **_: str) -> dict[str, Any]:  # noqa: N803 - boto's name
        return self.heads[Key]

    async def get_object_acl(self, **_: str) -> dict[str, Any]:
        return {}

    async def copy_object(self, **_: str) -> dict[str, Any]:
        return self.copied


async def copy(source: dict[str, Any], there: dict[str, Any], etag: str | None = '"bb"') -> str:
    """Copies `a` to `b`; returns the ETag of the copy."""
    answers = Answers({"a": source, "b": there}, {"CopyObjectResult": {"ETag": etag}} if etag else {})

    @asynccontextmanager
    async def call(_verb: str, _key: str = "") -> AsyncIterator[Any]:
        yield answers

    return (await Copier(call, "files", MAX_SIMPLE_COPY_BYTES, COPY_PART_BYTES).copy("a", "b", None)).etag


@pytest.mark.parametrize(
    ("source", "there"),
    [(KMS, KMS), (DOUBLE_KMS, DOUBLE_KMS), (KMS, OWN_KEYS), (OWN_KEYS, KMS), ({}, KMS)],
)
async def test_etags_of_objects_under_keys_of_kms_are_not_compared(
    source: dict[str, Any], there: dict[str, Any]
) -> None:
    assert await copy(SOURCE | source, COPY | there) == '"bb"'


async def test_a_copy_under_a_key_of_kms_needs_the_size_of_its_source() -> None:
    with pytest.raises(Transient, match="'a' as it is: 4 bytes of 5"):
        await copy(SOURCE | KMS, COPY | KMS | {"ContentLength": 4})


@pytest.mark.parametrize("encryption", [{}, OWN_KEYS])
async def test_another_etag_of_the_same_size_is_named(encryption: dict[str, Any]) -> None:
    with pytest.raises(Transient, match='its ETag is "bb", not "aa"'):
        await copy(SOURCE | encryption, COPY | encryption)


async def test_an_answer_without_an_etag_is_no_copy() -> None:
    with pytest.raises(Transient, match="names no ETag"):
        await copy(SOURCE | KMS, COPY | KMS, etag=None)
