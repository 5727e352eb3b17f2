"""The folder of a run: claimed by whoever makes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zoo.errors import RunError
from zoo.runs.folder import claim_folder, claimed, new_folder


def test_runs_that_start_at_once_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        folders = [folder for folder, _ in pool.map(lambda _: claim_folder(None, "cnn"), range(24))]
    assert sorted(map(str, folders)) == sorted(f"runs/cnn-{n}" for n in range(1, 25))


def test_a_folder_that_was_asked_for_has_one_owner(tmp_path: Path) -> None:
    claim_folder(tmp_path / "run", "")
    with pytest.raises(RunError, match="exists"):
        claim_folder(tmp_path / "run", "")


def test_what_fails_gives_its_name_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        with claimed(tmp_path / "a" / "b" / "rates", ""):
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        with new_folder(tmp_path / "a" / "export"):
            raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_new_folder_is_claimed_while_it_is_written(tmp_path: Path) -> None:
    with new_folder(tmp_path / "export") as temporary:
        (temporary / "model.onnx").touch()
        with pytest.raises(RunError, match="exists"):
            claim_folder(tmp_path / "export", "")
    assert [path.name for path in (tmp_path / "export").iterdir()] == ["model.onnx"]
