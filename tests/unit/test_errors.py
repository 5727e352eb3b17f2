"""The tree of exceptions."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo import errors
from zoo.errors import ZooError, closest, did_you_mean


def _tree() -> list[type[ZooError]]:
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return [kind for kind in found if issubclass(kind, ZooError)]


@pytest.mark.parametrize("kind", _tree())
def test_every_error_stands_in_the_drawn_tree_under_its_parent(kind: type[ZooError]) -> None:
    drawing = (errors.__doc__ or "").splitlines()
    depths = {
        line.strip("│ └├─").split()[0]: len(line) - len(line.lstrip("│ └├─"))
        for line in drawing
        if line.strip("│ └├─")
    }
    assert kind.__name__ in depths
    parent = kind.__bases__[0]
    if kind is not ZooError:
        names = list(depths)
        above = names[: names.index(kind.__name__)]
        shallower = [name for name in above if depths[name] < depths[kind.__name__]]
        assert shallower[-1] == parent.__name__
    assert kind.__doc__


@pytest.mark.parametrize("kind", _tree())
def test_an_error_has_a_message_and_a_hint(kind: type[ZooError]) -> None:
    error = kind("What was given.", hint="What to type.")
    assert (error.message, error.hint) == ("What was given.", "What to type.")
    assert str(error) == "What was given.\nWhat to type."
    assert str(kind("What was given.")) == "What was given."


def test_every_error_is_expected_by_some_test() -> None:
    tests = Path(__file__).parents[1]
    expected = {name for file in tests.rglob("*.py") for name in _expected(file)}
    assert {kind.__name__ for kind in _tree()} - expected == set()


def _expected(file: Path) -> Iterator[str]:
    """The names in every ``pytest.raises(…)`` of a file."""
    for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.raises":
            for node in ast.walk(call):
                if isinstance(node, ast.Name):
                    yield node.id


def test_bad_files_are_listed() -> None:
    assert errors.BadFilesError("2 files", paths=("a", "b")).paths == ("a", "b")


def test_the_closest_names_come_best_first() -> None:
    names = ["resnet18", "resnet34", "vgg16", "bert"]
    assert closest("resnet81", names)[0] == "resnet18"
    assert closest("resnet18", names, 1) == ["resnet18"]
    assert closest("xyz", names) == []


def test_a_question_offers_the_nearest_name_or_nothing() -> None:
    assert did_you_mean("ResNet81", ["vgg16", "resnet18"]) == " Did you mean 'resnet18'?"
    assert did_you_mean("xyz", ["vgg16", "resnet18"]) == ""


def test_the_first_line_of_an_error_is_never_empty() -> None:
    assert errors.first_line(ValueError("\n it is too large\nfor this")) == "it is too large"
    assert errors.first_line(ValueError("too large"), kind=True) == "ValueError: too large"
    assert errors.first_line(ValueError(" \n")) == "ValueError"
    assert errors.first_line(ValueError(), kind=True) == "ValueError"
    assert errors.first_line(errors.RunError("no run", hint="Give one.")) == "no run"


def test_every_error_for_a_user_says_what_to_do() -> None:
    """Errors of plugins and specs aside: their authors read them, in the status of the plugin."""
    root = Path(__file__).parents[2]
    kinds = {kind.__name__ for kind in _tree()} - {"PluginError", "ContractError"}
    calls = [
        (file.relative_to(root), call)
        for folder in ("zoo", "plugins/zoo_serve", "plugins/zoo_transformers")
        for file in sorted((root / folder).rglob("*.py"))
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in kinds
    ]
    assert len(calls) > 200
    bare = [
        f"{file}:{call.lineno}"
        for file, call in calls
        if "hint" not in {keyword.arg for keyword in call.keywords}
    ]
    assert not bare
