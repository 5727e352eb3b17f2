"""Names that are not valid UTF-8, which every file system of Linux takes: trained on, or told by path."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import zoo
from tests.end_to_end.conftest import Zoo
from tests.faults.conftest import class_folders
from zoo.errors import DataError
from zoo.system.files import write_text

ODD = os.fsdecode(b"\xff")
SHORT = ("--epochs", 1, "--image-size", 16, "--workers", 0, "--no-report")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders to which odd names can be given."""
    try:
        (tmp_path / ODD).touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    return class_folders(tmp_path / "photos")


def test_an_image_with_such_a_name_is_reported_by_path_or_left_out(
    photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    for folder, name in (("red", "whole"), ("green", "broken")):
        shutil.copy(photos / "red" / "0.png", photos / folder / f"{name}{ODD}.png")
    (photos / "green" / f"broken{ODD}.png").write_bytes(b"no image")
    command = ("finetune", "cnn", "--data", photos, *SHORT, "--output", tmp_path / "run")
    refused = zoo_cli(*command)
    assert refused.code == 1
    assert "2 inputs cannot be used" in refused.err
    assert r"red/whole\udcff.png: its name is not valid UTF-8; rename it" in refused.err
    done = zoo_cli(*command, "--bad-files", "skip")
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    left_out = {line.rpartition(": ")[0] for line in record["data"]["skipped"]}
    assert left_out == {
        str(photos / "red" / f"whole{ODD}.png"),
        str(photos / "green" / f"broken{ODD}.png"),
    }
    assert "2 unreadable inputs skipped" in done.out
    told = zoo_cli("predict", tmp_path / "run", photos / "red")
    assert told.code == 1
    assert r"whole\udcff.png cannot be read as an image: its name is not valid UTF-8" in told.err


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (f"photos/gr{ODD}n", "the name of the class folder photos/gr\\udcffn is not valid UTF-8"),
        (f"ph{ODD}tos", "the name of ph\\udcfftos is not valid UTF-8"),
    ],
)
def test_a_folder_with_such_a_name_is_reported_before_anything_trains(
    photos: Path, monkeypatch: pytest.MonkeyPatch, zoo_cli: Zoo, odd: str, words: str
) -> None:
    monkeypatch.chdir(photos.parent)
    Path("photos/green" if "/" in odd else "photos").rename(odd)
    told = zoo_cli("finetune", "cnn", "--data", odd.split("/")[0], *SHORT, "--output", "run")
    assert told.code == 1
    assert words in told.err
    assert "Rename it" in told.err
    assert not Path("run").exists()


def test_outputs_may_have_such_names_but_a_run_may_not(
    run_of_photos: Path, photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    for output in (tmp_path / f"run{ODD}", tmp_path / f"a{ODD}b" / "run"):
        told = zoo_cli(
            "finetune", "--no-report", "cnn", "--data", photos, *SHORT, "--output", output
        )
        assert told.code == 1
        assert "the name of the output folder" in told.err
        assert "--output DIR" in told.err
        assert not output.exists()
    for suffix in (".csv", ".parquet"):
        table = tmp_path / f"said{ODD}{suffix}"
        assert zoo_cli("predict", run_of_photos, photos, "--output", table).code == 0
        assert table.stat().st_size > 0
    table = tmp_path / f"features{ODD}.parquet"
    assert zoo_cli("embed", run_of_photos, photos, "--output", table).code == 0
    assert table.stat().st_size > 0


@pytest.mark.parametrize("given", ["caf\udce9", "half \ud800 a character"])
def test_a_text_of_other_bytes_is_reported(given: str, tmp_path: Path, zoo_cli: Zoo) -> None:
    from zoo.engine.progress import Quiet

    run = zoo.finetune("lstm", classes=5, epochs=1, output=tmp_path / "run", reporter=Quiet())
    told = zoo_cli("predict", run.folder, given)
    assert told.code == 1
    assert "input 1 is not valid UTF-8: '" in told.err
    with pytest.raises(DataError, match=r"2.*UTF-8"):
        run.predict(["whole", given], workers=0)


def test_a_record_gives_such_a_name_back(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", json.dumps({"path": f"é{ODD}"}, ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"path": f"é{ODD}"}
