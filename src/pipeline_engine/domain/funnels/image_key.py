"""The S3 key of a copied image: `<uuid>/<file name>`. Pure."""

from __future__ import annotations

import re

from bson import ObjectId

from pipeline_engine.domain.funnels.clone_ids import clone_uuid

# What S3 or our own rules for keys would refuse, and what would make folders of a name.
UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\]|\.(?=\.)")
LONGEST = 900
"""Bytes of a file name; S3 allows keys of 1,024."""


def image_key(clone_id: ObjectId, source_key: str, name: object) -> str:
    """The same clone and source give the same key. Without a name the last part of the source's key is the name."""
    told = name if isinstance(name, str) and name else source_key.rsplit("/", 1)[-1]
    fit = UNFIT.sub("", told).encode()[-LONGEST:].decode(errors="ignore")
    return f"{clone_uuid(clone_id, source_key)}/{fit or 'image'}"
