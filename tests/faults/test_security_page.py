"""Every line of docs/security.md names tests, and they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")
PROMISES = [line for line in PAGE.split("## Weights", 1)[1].splitlines() if line.startswith("| ")]
NAMED = sorted(set(re.findall(r"`(\w+/\w+\.py)::(\w+)`", PAGE)))


def test_every_named_test_is_there() -> None:
    there = {(file, name) for file in {file for file, _ in NAMED} for name in _tests_of(file)}
    assert len(NAMED) >= 100
    assert [named for named in NAMED if named not in there] == []


def _tests_of(file: str) -> list[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_every_line_names_a_test() -> None:
    rows = [line for line in PROMISES if not re.match(r"\| (---|statement)", line)]
    assert len(rows) >= 20
    for row in rows:
        assert re.search(r"\| `\w+/\w+\.py::\w+`.*\|$", row), row
