"""Decides the encoding of a file whose beginning is ASCII, at its first row that is not."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_engine.domain.imports.csv.chunks import Piece
from pipeline_engine.domain.imports.csv.dialect import Dialect
from pipeline_engine.domain.imports.csv.encoding import find_encoding


def decided(dialect: Dialect, pieces: Sequence[Piece]) -> Dialect | None:
    """Return the dialect with the encoding of the first piece beyond ASCII; None when it is decided, or still open.

    Pieces before it read alike in either encoding. It and those behind it must be cut again.
    """
    beyond = next((piece.data for piece in pieces if not piece.data.isascii()), None)
    if not dialect.open or beyond is None:
        return None
    found = find_encoding(beyond)
    return dialect._replace(
        encoding=found.name, open=False, confidence=round(min(dialect.confidence, found.confidence), 3)
    )
