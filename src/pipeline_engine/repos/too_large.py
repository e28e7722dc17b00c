"""Documents that a write would make larger than MongoDB stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo.errors import DocumentTooLarge, OperationFailure

from pipeline_engine.errors import Permanent

# BSONObjectTooLarge; two of an update whose result is too large; TransactionTooLargeForCache.
TOO_LARGE_CODES = frozenset({10334, 17419, 17420, 388})


class TooLarge(Permanent):
    """MongoDB refuses a write, because the document would become too large by it; the document is as it was."""

    def __init__(self, collection: str, id: Any) -> None:
        reason = (
            f"the document {str(id)[:100]} of {collection} is too large: MongoDB stores at most 16 MB (16777216 bytes)"
        )
        super().__init__(
            f"{reason}, and the engine adds about 1 KB to it: shorten or remove its largest field", "too_large"
        )


@contextmanager
def sized(collection: str, id: Any) -> Iterator[None]:
    """Raises: TooLarge instead of what pymongo raises when the block's write makes the document too large."""
    try:
        yield
    except DocumentTooLarge as error:
        raise TooLarge(collection, id) from error
    except OperationFailure as error:
        if error.code not in TOO_LARGE_CODES:
            raise
        raise TooLarge(collection, id) from error
