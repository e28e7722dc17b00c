"""Names and sizes in the package: a class name means one thing, and functions and files stay short."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import pipeline_engine
from pipeline_engine.app import App

PACKAGE = Path(pipeline_engine.__path__[0])
MAX_FUNCTION_LINES = 40
MAX_FILE_LINES = 250
MAX_APP_FIELDS = 19


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    files = sorted(PACKAGE.rglob("*.py"))
    return {str(file.relative_to(PACKAGE)): ast.parse(file.read_text()) for file in files}


def functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno
    return function.end_lineno - function.lineno + 1


def test_no_two_public_classes_have_one_name(modules: dict[str, ast.Module]) -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for name, module in modules.items():
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)

    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_function_is_too_long(modules: dict[str, ast.Module]) -> None:
    found = [(name, function) for name, module in modules.items() for function in functions(module)]
    lengths = {f"{name}: {function.name}": lines_of(function) for name, function in found}

    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


def test_no_file_is_too_long(modules: dict[str, ast.Module]) -> None:
    lengths = {name: len((PACKAGE / name).read_text().splitlines()) for name in modules}

    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_the_app_stays_small() -> None:
    """What every system is handed: a new connection of one kind joins its bundle."""
    assert len(fields(App)) <= MAX_APP_FIELDS
