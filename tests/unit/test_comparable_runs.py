"""Which of many runs ``zoo compare`` compares, and which it skips and names."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from zoo.errors import RunError, UsageError
from zoo.runs import comparable as module
from zoo.runs.comparable import comparable


@pytest.fixture(autouse=True)
def _runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs whose task is the first letter of their name; those of ``x`` are not finished."""

    def opened(folder: Path) -> SimpleNamespace:
        if folder.name.startswith("x"):
            raise RunError(f"the run {folder} is not finished", hint="Resume it.")
        return SimpleNamespace(
            folder=folder, task=SimpleNamespace(name=folder.name[0]), classes=("fern", "moss")
        )

    monkeypatch.setattr(module, "Run", opened)


def test_what_is_unfinished_or_does_not_fit_is_skipped_and_named() -> None:
    folders = [Path(name) for name in ("odd", "a1", "x1", "a2", "b1")]
    fitting, skipped = comparable(folders, on_own_data=False)
    assert fitting == (Path("a1"), Path("a2"))
    assert len(skipped) == 3
    for name in ("odd", "x1", "b1"):
        assert any(name in reason for reason in skipped)


def test_two_runs_are_not_skipped() -> None:
    assert comparable([Path("a"), Path("b")], on_own_data=False) == ((Path("a"), Path("b")), ())


def test_an_error_names_why_nothing_is_left() -> None:
    with pytest.raises(UsageError, match=r"fewer than two(.|\n)*x1 is not finished"):
        comparable([Path("a"), Path("b"), Path("x1")], on_own_data=False)
