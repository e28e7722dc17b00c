"""What the engine knows of one object in S3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ObjectInfo:
    """One object: its size in bytes, and its ETag, which changes when its content does."""

    key: str
    size: int
    etag: str
    kept: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What a copy must ask for to have it as well: storage class and access rights. Only `Storage.copy` reads it."""
    encrypted: bool = field(default=False, compare=False)
    """Under a key of KMS, so that every copy has another ETag. Only `Storage.copy` reads it."""

    @property
    def has_content_etag(self) -> bool:
        """Whether the ETag depends on the content alone: that of an object uploaded in parts depends on the parts."""
        return not self.encrypted and "-" not in self.etag
