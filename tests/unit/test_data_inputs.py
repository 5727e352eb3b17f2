"""What a prediction takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from zoo.data.inputs import open_inputs
from zoo.errors import BadFilesError, DataError
from zoo.modalities import IMAGE, TEXT
from zoo.modalities.text.inputs import Text


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("b/2.png", "a/1.jpg", "0.png", ".hidden/3.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    (tmp_path / "photos" / "readme.txt").write_text("x")
    return tmp_path / "photos"


def names(samples) -> list[str]:
    return [samples.input(i) for i in range(len(samples))]


def raws(samples) -> list[object]:
    return [samples.raw(i) for i in range(len(samples))]


def test_folders_are_read_through_in_order(photos):
    samples = open_inputs([photos], IMAGE)
    assert names(samples) == [str(photos / n) for n in ("0.png", "a/1.jpg", "b/2.png")]
    assert samples.labels is None


def test_files_folders_and_images_in_memory_mix(photos):
    image = Image.new("L", (4, 4))
    samples = open_inputs([str(photos / "b" / "2.png"), image, photos / "a"], IMAGE)
    assert names(samples) == [
        str(photos / "b" / "2.png"),
        "image 2",
        str(photos / "a" / "1.jpg"),
    ]
    assert samples.raw(1) is image


def test_a_table_of_paths(photos):
    table = photos / "list.csv"
    table.write_text("path\nb/2.png\n0.png\n")
    assert names(open_inputs([table], IMAGE)) == [str(photos / "b/2.png"), str(photos / "0.png")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gone.jpg", "no file or folder"),
        ("readme.txt", "readme.txt is not a supported image"),
    ],
)
def test_what_is_not_an_image(photos, given, message):
    with pytest.raises(DataError, match=message):
        open_inputs([photos / given], IMAGE)


def test_a_folder_without_images(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        open_inputs([tmp_path / "empty"], IMAGE)


def test_texts_are_taken_as_they_are():
    texts = ["A fine film.", "dull/boring", "data", "see x.jpg for more", ""]
    samples = open_inputs(texts, TEXT)
    assert raws(samples) == texts
    assert names(samples)[:2] == ["text 1", "text 2"]


def test_tables_and_text_files_give_their_texts(tmp_path):
    (tmp_path / "x.csv").write_text("id,review\n1,good\n2,bad\n")
    (tmp_path / "y.txt").write_text("one\n\ntwo\n")
    samples = open_inputs([str(tmp_path / "x.csv"), tmp_path / "y.txt", "three"], TEXT)
    assert raws(samples) == ["good", "bad", "one", "", "two", "three"]
    assert names(samples)[1] == f"{tmp_path / 'x.csv'} row 2"
    assert names(samples)[4] == f"{tmp_path / 'y.txt'} line 3"


def test_a_table_with_a_row_of_nothing(tmp_path):
    (tmp_path / "x.csv").write_text("id,review\n1,good\n2,\n")
    with pytest.raises(BadFilesError, match="row 2"):
        open_inputs([tmp_path / "x.csv"], TEXT)


def test_an_image_given_to_a_text_run(photos):
    for given in (photos / "0.png", str(photos / "0.png"), "x.jpg"):
        with pytest.raises(DataError, match=r"takes texts, not images: "):
            open_inputs([given], TEXT)
    with pytest.raises(DataError, match="takes texts, not images: input 1"):
        open_inputs([Image.new("RGB", (4, 4))], TEXT)
    with pytest.raises(DataError, match="not folders"):
        open_inputs([str(photos)], TEXT)


def test_nothing_and_something_that_is_no_list(photos):
    with pytest.raises(DataError, match="no inputs"):
        open_inputs([], IMAGE)
    with pytest.raises(DataError, match="must be a list"):
        open_inputs(None, TEXT)
    assert open_inputs("some text", TEXT).raw(0) == "some text"


def test_a_text_that_reads_like_a_path_stays_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text("text\nsecret\n")
    assert open_inputs([Text("reviews.csv")], TEXT).raw(0) == "reviews.csv"
    assert open_inputs(["reviews.csv"], TEXT).raw(0) == "secret"


@pytest.mark.parametrize("name", ["absent.csv", "absent.tsv"])
def test_a_table_that_is_not_there(tmp_path, name):
    with pytest.raises(DataError, match=f"{name}") as caught:
        open_inputs([str(tmp_path / name)], TEXT)
    assert "standard input" in caught.value.hint


def test_a_text_file_of_another_encoding_is_named(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match=r"x\.txt.*UTF-8"):
        open_inputs([tmp_path / "x.txt"], TEXT)
