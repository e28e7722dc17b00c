"""Reads the options of an import that override what detection finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline_engine.domain.imports.csv.encoding import ENCODINGS, python_name
from pipeline_engine.domain.imports.refusal import ImportRefused, quoted

MAX_DELIMITER_CHARS = 4
NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


class DialectOptions(NamedTuple):
    """None = to be found."""

    encoding: str | None
    delimiter: str | None
    has_header: bool | None


def read_options(options: Mapping[str, Any]) -> DialectOptions:
    """Return the overrides among an import's `additional_data`.

    Raises: ImportRefused `delimiter`, `encoding`, `has_header` when that option has a value that is not allowed.
    """
    return DialectOptions(
        _encoding(options.get("encoding")), _delimiter(options.get("delimiter")), _has_header(options.get("has_header"))
    )


def _encoding(option: object) -> str | None:
    if option is None:
        return None
    name = python_name(option) if isinstance(option, str) else None
    if name is None:
        raise ImportRefused(
            f"encoding {quoted(option)} is not supported; possible are {', '.join(ENCODINGS)}", "encoding"
        )
    return name


def _delimiter(option: object) -> str | None:
    if option is None:
        return None
    found = NAMES.get(option, option) if isinstance(option, str) else None
    if not found or len(found) > MAX_DELIMITER_CHARS or any(_is_of_cells(char) for char in found):
        raise ImportRefused(
            f"delimiter {quoted(option)} is not supported; possible are one to {MAX_DELIMITER_CHARS} characters that "
            "are no letters, digits, quotes or line ends, such as , ; | or a tab",
            "delimiter",
        )
    return found


def _is_of_cells(char: str) -> bool:
    return char.isalnum() or char in "\"'\r\n\0" or "\ud800" <= char <= "\udfff"


def _has_header(option: object) -> bool | None:
    if option is None or isinstance(option, bool):
        return option
    raise ImportRefused(f"has_header is {quoted(option)}; it must be true or false", "has_header")
