"""Exports of well-known kinds of programs are read without a setting."""

from __future__ import annotations

import pytest

from pipeline_engine.domain.imports.csv.dialect import detect
from pipeline_engine.domain.imports.csv.header import find_header
from pipeline_engine.domain.imports.csv.mapping import compile_mapping
from tests.support.exports import EXPORTS, Export
from tests.support.polluted.engine_reader import read_polluted


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.name)
def test_an_export_is_understood_without_a_setting(export: Export) -> None:
    dialect = detect(export.data, {}, list(export.mappings), whole=True)

    assert {name: getattr(dialect, name) for name in export.found} == export.found
    assert dialect.confidence >= 0.5
    header = find_header(export.data, dialect, whole=True)
    assert header is not None
    columns = compile_mapping(export.mappings, header.columns)
    places = [*columns.fields.values(), *columns.custom.values()]
    _, rows = read_polluted(export.data, list(export.mappings))
    assert len(rows) == export.total
    assert tuple(rows[0][place] for place in places) == export.first
    assert tuple(rows[-1][place] for place in places) == export.last
