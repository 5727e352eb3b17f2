"""What training and validation share is counted, and left out of training where that is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data import open_data
from zoo.errors import DataError


def write(folder: Path, train: list[str], val: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in (("train", train), ("val", val)):
        (folder / f"{name}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    return folder


ROWS = ["a fine film\t1", "a poor film\t0", "so so\t0", "great\t1"]


def test_texts_are_the_same_whatever_their_case_and_blanks(tmp_path: Path) -> None:
    data = write(tmp_path, ROWS, ["quite other\t0", "A  Fine film \t1"])
    splits = open_data(data, modality="text")
    assert [name.rpartition(" ")[2] for name in splits.shared] == ["2"]
    assert (len(splits.train), splits.removed) == (4, 0)
    fewer = open_data(data, modality="text", dedupe=True)
    assert [str(fewer.train.raw(i)) for i in range(len(fewer.train))] == [
        *("a poor film", "so so", "great")
    ]


def test_pictures_are_the_same_where_their_files_are(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for number in range(5):
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            pixels = generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            Image.fromarray(pixels).save(folder / f"{number} (copy).png")
    splits = open_data(tmp_path, modality="image", val_split=0.2)
    alone = open_data(tmp_path, modality="image", val_split=0.2, dedupe=True)
    assert splits.shared
    assert splits.shared == alone.shared  # the same are held out
    assert alone.removed == len(splits.train) - len(alone.train) > 0
    assert alone.fingerprint != splits.fingerprint
    trained = {alone.train.input(i).replace(" (copy)", "") for i in range(len(alone.train))}
    assert alone.val is not None
    assert not trained & {alone.val.input(i).replace(" (copy)", "") for i in range(len(alone.val))}


def test_nothing_in_common_is_nothing_to_remove(tmp_path: Path) -> None:
    data = write(tmp_path, ROWS, ["new\t1", "newer\t0"])
    plain, deduped = (open_data(data, modality="text", dedupe=d) for d in (False, True))
    assert (plain.shared, deduped.removed) == ((), 0)
    assert plain.fingerprint == deduped.fingerprint


@pytest.mark.parametrize(
    ("val", "lost"), [(ROWS, "anything"), (["great\t1", "A fine film\t1", "other\t0"], "'1'")]
)
def test_a_class_that_loses_all_is_told(tmp_path: Path, val: list[str], lost: str) -> None:
    with pytest.raises(DataError, match=f"nothing of {lost} is left to train on"):
        open_data(write(tmp_path, ROWS, val), modality="text", dedupe=True)


def test_the_run_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import zoo

    data = write(tmp_path / "data", ROWS, ["great\t1", "other\t0"])
    for dedupe, words in (
        (False, "are in the training data too, so figures look too good: --dedupe"),
        (True, "were in the training data; 1 removed from there"),
    ):
        run = zoo.finetune(
            "lstm", data, weights="none", epochs=1, dedupe=dedupe, output=tmp_path / str(dedupe)
        )
        assert words in capfd.readouterr().err
        assert len(run.record["data"]["shared"]) == 1
        assert run.record["data"]["removed"] == int(dedupe)
