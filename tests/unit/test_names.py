"""One word, one thing: no two classes share a name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_class_name_stands_in_two_modules() -> None:
    places = defaultdict[str, set[str]](set)
    for folder in (ROOT / "zoo", ROOT / "plugins"):
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places[node.name].add(str(path.relative_to(ROOT)))
    assert len(places) > 100
    twice = {name: sorted(files) for name, files in places.items() if len(files) > 1}
    assert not twice
