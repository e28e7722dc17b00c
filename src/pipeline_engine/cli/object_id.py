"""Reads the ids that people type."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine import ids
from pipeline_engine.errors import ConfigError


def read_id(text: str, name: str = "ID") -> ObjectId:
    """Raises: ConfigError when it is none; `name` says which argument it was."""
    found = ids.object_id(text.strip().lower())
    if found is None:
        raise ConfigError(f"{name}: given {text!r}: an id has 24 hex digits")
    return found
