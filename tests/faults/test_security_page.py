"""Every line of docs/security.md names tests, and they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")
PROMISES = [line for line in PAGE.split("## Weights", 1)[1].splitlines() if line.startswith("| ")]
NAMED = sorted(set(re.findall(r"`(\w+/\w+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_is_there(file: str, name: str) -> None:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_line_names_a_test() -> None:
    rows = [line for line in PROMISES if not re.match(r"\| (---|statement)", line)]
    assert len(rows) >= 20
    for row in rows:
        assert re.search(r"\| `\w+/\w+\.py::\w+`.*\|$", row), row
