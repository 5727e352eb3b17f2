"""Errors name Python's parameters for a caller in Python, and options in a shell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.cli.output import fail_cleanly
from zoo.errors import UsageError
from zoo.runs.python_names import python_names


@python_names()
def _inner() -> None:
    raise UsageError("--batch-size must be at least 1, got 0", hint="Leave --batch-size out.")


@python_names()
def _outer() -> None:
    _inner()


def test_an_error_has_the_names_of_python_and_keeps_those_of_the_shell() -> None:
    with pytest.raises(UsageError) as caught:
        _outer()
    assert str(caught.value) == "batch_size must be at least 1, got 0\nLeave batch_size out."
    assert caught.value.in_shell == (
        "--batch-size must be at least 1, got 0",
        "Leave --batch-size out.",
    )


def test_the_command_line_prints_the_names_of_the_shell(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), fail_cleanly({}):
        _outer()
    assert capsys.readouterr().err.count("--batch-size") == 2


@pytest.mark.parametrize(
    ("call", "parameter"),
    [
        (lambda folder: zoo.embed("cnn", folder, output=folder / "features.txt"), "output"),
        (lambda folder: zoo.recommend(folder, samples=3), "samples"),
        (lambda folder: zoo.recommend(folder, time_limit=1), "time_limit"),
        (lambda folder: zoo.finetune("cnn", folder, batch_size=-1), "batch_size"),
    ],
)
def test_public_functions_name_their_parameters(
    call: Callable[[Path], Any], parameter: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        call(tmp_path)
    assert parameter in caught.value.message
    assert "--" not in str(caught.value)
    assert caught.value.in_shell is not None
    assert f"--{parameter.replace('_', '-')}" in caught.value.in_shell[0]
