"""Cells become values: one module per type of field. Each reader takes a trimmed cell that is not empty and returns the
field's value, or raises `NotAValue`; what it must know of the whole column was decided by `csv/columns.py`."""

from pipeline_engine.domain.imports.csv.values.text import (
    MAX_FIELD_BYTES,
    MAX_STAGE_CHARS,
    StageCase,
    choice,
    name_key,
    stage_name,
    visible,
)

__all__ = ["MAX_FIELD_BYTES", "MAX_STAGE_CHARS", "StageCase", "choice", "name_key", "stage_name", "visible"]
