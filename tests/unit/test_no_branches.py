"""No module asks which task or modality it has, but for the folders that define them."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from zoo.registry.modalities import installed_modalities
from zoo.tasks import TASKS

ROOT = Path(__file__).parents[2]


def _named(node: ast.expr, names: Collection[str]) -> bool:
    """Whether the expression is one of the names, or lists some."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and node.value in names
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(_named(each, names) for each in node.elts)
    return False


def _branches(node: ast.AST, names: Collection[str]) -> bool:
    if isinstance(node, ast.Compare):
        return any(_named(each, names) for each in (node.left, *node.comparators))
    if isinstance(node, ast.MatchValue):
        return _named(node.value, names)
    if isinstance(node, ast.Dict):
        return sum(_named(key, names) for key in node.keys if key is not None) > 1
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        return called == "Choice" and any(_named(each, names) for each in node.args)
    return False


def branches(source: str, names: Collection[str]) -> list[int]:
    """The lines of Python that compare something with the names, or look it up by them."""
    return [node.lineno for node in ast.walk(ast.parse(source)) if _branches(node, names)]  # type: ignore[attr-defined]


def branches_of_page(source: str, names: Collection[str]) -> list[int]:
    """Likewise of a template or a script."""
    compared = re.compile(rf"[!=]=\s*[\"']({'|'.join(map(re.escape, names))})[\"']")
    return [i for i, line in enumerate(source.splitlines(), 1) if compared.search(line)]


def found(names: Collection[str]) -> Iterator[str]:
    for folder in (ROOT / "zoo", ROOT / "plugins"):
        for path in sorted(folder.rglob("*")):
            place = path.relative_to(ROOT)
            if place.parts[:2] in (("zoo", "tasks"), ("zoo", "modalities")):
                continue
            if path.suffix == ".py":
                lines = branches(path.read_text(encoding="utf-8"), names)
            elif path.suffix in (".j2", ".js", ".html"):
                lines = branches_of_page(path.read_text(encoding="utf-8"), names)
            else:
                continue
            yield from (f"{place}:{line}" for line in lines)


@pytest.mark.parametrize(
    "code",
    [
        "task.name == 'multi-label'",
        "'multi-label' != name",
        "name in ('auto', 'multi-label')",
        "{'single-label': 1, 'multi-label': 2}[name]",
        "click.Choice(['auto', 'multi-label'])",
        "match name:\n    case 'multi-label':\n        pass",
    ],
)
def test_what_asks_for_a_name_is_found(code: str) -> None:
    assert len(branches(code, TASKS)) == 1


@pytest.mark.parametrize("code", ["task.several", "Splits(task='multi-label')", "{'text': 1}"])
def test_what_only_names_one_is_none(code: str) -> None:
    assert not branches(code, {*TASKS, "text"})


def test_a_page_that_asks_is_found() -> None:
    assert branches_of_page('a\n{% if task != "regression" %}', TASKS) == [2]


def test_no_module_asks_which_task_it_has() -> None:
    assert list(found(TASKS)) == []


def test_no_module_asks_which_modality_it_has() -> None:
    assert list(found({*installed_modalities(), "audio"})) == []
