"""Errors and notes name Python's parameters to a caller in Python, and options in a shell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.cli.output import fail_cleanly
from zoo.engine.progress import Console
from zoo.errors import UsageError, in_python

ERROR = UsageError("--batch-size must be at least 1, got 0", hint="Use --weights none.")


def test_python_shows_an_error_with_the_names_of_python() -> None:
    assert str(ERROR) == 'batch_size must be at least 1, got 0\nUse weights="none".'


def test_the_command_line_prints_the_names_of_the_shell(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), fail_cleanly({}):
        raise ERROR
    printed = capsys.readouterr().err
    assert "--batch-size must be" in printed
    assert "Use --weights none." in printed


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
    assert parameter in str(caught.value)
    assert "--" not in str(caught.value)
    assert f"--{parameter.replace('_', '-')}" in caught.value.message


def test_notes_and_headers_in_python_name_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    for console in (Console(in_python), Console()):
        console.header({"leakage": "use --dedupe to train without them"})
        console.note("change with --text-column")
    printed = capsys.readouterr().err.splitlines()
    assert printed[:2] == ["leakage  use dedupe to train without them", "change with text_column"]
    assert printed[2:] == [
        "leakage  use --dedupe to train without them",
        "change with --text-column",
    ]
