"""The maps of the code in CONTRIBUTING.md name files, names and hooks that exist."""

from __future__ import annotations

import re
from pathlib import Path

from zoo.contract import hookspecs

ROOT = Path(__file__).parents[2]
MAP = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LAYOUT = MAP.partition("\n## Layout\n")[2].partition("\n## ")[0]


def test_the_map_names_existing_paths() -> None:
    paths = set(re.findall(r"`((?:zoo|plugins|tests|docs|benchmarks)/[^`]*)`", MAP))
    assert len(paths) > 30
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_the_map_names_existing_modules() -> None:
    modules = set(re.findall(r"python -m ([\w.]+\w)\b(?!…)", MAP)) - {"zoo_"}
    assert len(modules) >= 5
    found = [
        ROOT / folder / name.replace(".", "/") for name in modules for folder in ("", "plugins")
    ]
    assert sum(path.with_suffix(".py").exists() for path in found) == len(modules)


def test_the_map_names_existing_tables_and_hooks() -> None:
    for name, path in re.findall(r"`(\w+)` in `([\w/]+\.py)`", MAP):
        assert re.search(rf"^(?:def )?{name}\b", (ROOT / path).read_text("utf-8"), re.M), name
    hooks = set(re.findall(r"`(zoo_[a-z]+)`", MAP))
    assert "zoo_metrics" in hooks
    assert [hook for hook in sorted(hooks) if not hasattr(hookspecs, hook)] == []


def test_the_layout_names_existing_folders() -> None:
    listed = re.findall(r"^  (\w+)/ ", LAYOUT, re.M)
    folders = {path.name for path in (ROOT / "zoo").iterdir() if (path / "__init__.py").exists()}
    assert sorted(listed) == sorted(folders)
