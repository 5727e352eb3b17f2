"""Names that files, classes and cells may have, on their way to the terminal, files and spreadsheets."""

from __future__ import annotations

import csv
import html.parser
import json
from pathlib import Path

import pytest

import zoo
from tests.end_to_end.conftest import Outcome, Zoo
from tests.faults.conftest import class_folders
from zoo.runs.model_card import hub_card, model_card

ESCAPES = "\x1b[31mred\x1b[0m\x07\x08"
MARKS = "\u202egnp.exe\u200f\u2066"
CLASSES = (
    "a\nb",
    ESCAPES,
    MARKS,
    "\x9b2Jcleared",
    "=cmd|' -C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "<script>alert(1)",
    "![x](x.png)",
    "`$(touch executed)`",
    "$(touch executed)",
    "; touch executed",
    "| a | b |",
    "up..\\",
    "%s%n{0}",
    "nom\u0303bre",
    "x" * 200,
)
CONTROLS = {chr(i) for i in (*range(32), *range(127, 160))} - {"\n", "\t"}
DIRECTIONS = set(
    "\u200b\u200e\u200f\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\ufeff"
)


def assert_plain(done: Outcome) -> None:
    for text in (done.out, done.err):
        assert not set(text) & (CONTROLS | DIRECTIONS), repr(text)


@pytest.fixture(scope="module")
def named_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on class folders with all these names, and its images."""
    from zoo.engine.progress import Quiet

    top = tmp_path_factory.mktemp("names")
    photos = class_folders(top / "photos", names=CLASSES, count=2)
    run = top / "<b>run</b> `x`"
    zoo.finetune(
        *("cnn", photos),
        epochs=1,
        image_size=16,
        workers=0,
        output=run,
        reporter=Quiet(),
        report=False,
    )
    return run, photos


def test_class_folders_of_any_name_train_and_reach_no_terminal_as_they_are(
    named_run: tuple[Path, Path], tmp_path: Path, marker: Path, outside: Path, zoo_cli: Zoo
) -> None:
    _, photos = named_run
    done = zoo_cli(
        *("finetune", "--no-report", "cnn", "--data", photos, "--epochs", 1, "--image-size", 16),
        *("--workers", 0, "--output", tmp_path / "run"),
    )
    assert done.code == 0, done.err
    assert_plain(done)
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert set(record["classes"]) == {name.replace("n\u0303", "\xf1") for name in map(nfc, CLASSES)}


def nfc(name: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFC", name)


def test_predictions_keep_the_terminal_and_the_lines_whole(
    named_run: tuple[Path, Path], outside: Path, zoo_cli: Zoo
) -> None:
    run, photos = named_run
    done = zoo_cli("predict", run, photos, "--workers", 0)
    assert done.code == 0, done.err
    assert_plain(done)
    assert len(done.out.splitlines()) == 2 * len(CLASSES)
    done = zoo_cli("predict", run, photos, "--workers", 0, "--json")
    assert_plain(done)
    assert {row["input"] for row in done.json} == {str(p) for p in photos.rglob("*.png")}
    done = zoo_cli("evaluate", run, "--data", photos, "--workers", 0)
    assert done.code == 0
    assert_plain(done)


def test_a_table_of_predictions_holds_no_formulas(
    named_run: tuple[Path, Path], outside: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, photos = named_run
    monkeypatch.chdir(photos)
    folders = sorted(path.name for path in photos.iterdir() if not path.name.startswith(("-", "~")))
    assert zoo_cli("predict", run, *folders, "--output", outside.parent / "t.csv").code == 0
    with (outside.parent / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + 2 * len(folders)
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "-", "\t", "\r"))]
    assert any(cell.startswith("'=cmd|") for cell in cells)


def test_numbers_in_a_table_of_predictions_stay_numbers() -> None:
    from zoo.cli.prediction_table import _harmless

    for cell in (-1.5, "-1.5", "+3", "-inf", 7, "plain", "a=b"):
        assert _harmless(cell) == cell
    assert _harmless(["=a", "b"]) == "'=a|b"


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)


def test_a_model_card_shows_names_as_text(named_run: tuple[Path, Path]) -> None:
    from markdown import markdown

    run, _ = named_run
    card = (run / "README.md").read_text(encoding="utf-8")
    assert not set(card) & (CONTROLS | DIRECTIONS)
    tags = _Tags()
    tags.feed(markdown(card, extensions=["tables", "fenced_code"]))
    assert not {"script", "img", "a", "b"} & set(tags.found), tags.found
    assert tags.found.count("table") == 1


def test_a_model_card_escapes_what_a_run_folder_says(run_of_photos: Path) -> None:
    """A run that another one published may say anything of itself."""
    from markdown import markdown

    record = json.loads((run_of_photos / "run.json").read_text())
    evil = "`</code><script>x</script>|\n# [a](b)"
    origin = {"name": evil, "run": evil, "backbone": evil, "data": evil, "origin": None}
    weights = {"tag": evil, "uri": evil, "license": evil}
    for changes in ({"weights": weights}, {"origin": {**origin, "weights": weights}}):
        card = model_card({**record, **changes, "backbone": evil}, evil)
        tags = _Tags()
        tags.feed(markdown(card, extensions=["tables", "fenced_code"]))
        assert not {"script", "a"} & set(tags.found)
        assert tags.found.count("h1") == 1


EVIL = "<img src=x onerror=alert(1)>`</code>|\n# [a](https://evil.example) https://evil.example www.evil.example"


def _everywhere(value: object) -> object:
    """The same structure with ``EVIL`` in the place of every name of a metric, text and number."""
    if isinstance(value, dict):
        return {key: _everywhere(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_everywhere(inner) for inner in value]
    return value if value is None or isinstance(value, bool) else EVIL


@pytest.mark.parametrize("task", ["single-label", "regression"])
def test_a_model_card_of_a_hostile_record_holds_no_html_and_no_links(
    run_of_photos: Path, task: str
) -> None:
    """Whatever of the record the card shows: recipe, versions, metrics, numbers."""
    from markdown import markdown

    record = json.loads((run_of_photos / "run.json").read_text())
    weights = {"tag": "v1", "uri": "hf:a/b", "license": "mit"}
    hostile = _everywhere({**record, "weights": weights, "head": "mlp"})
    assert isinstance(hostile, dict)
    hostile["results"]["metrics"] = {EVIL: EVIL, "accuracy": EVIL}
    count = len(hostile["classes"])
    hostile["task"] = {"name": task, "metric": "loss", "mean": [0.0] * count, "std": [1.0] * count}
    for card in (model_card(hostile, EVIL), hub_card(hostile, "acme/plants")):
        body = card.split("---\n", 2)[-1] if card.startswith("---") else card
        tags = _Tags()
        tags.feed(markdown(body, extensions=["tables", "fenced_code"]))
        assert not {"img", "script", "a", "em", "strong"} & set(tags.found), tags.found
        assert tags.found.count("h1") == 1
        shown = body.partition("## Use")[0]
        assert "https:" not in shown
        assert "www." not in shown
        assert "evil" in shown  # it is there, as text


def test_texts_and_labels_of_a_table_reach_no_terminal_as_they_are(
    tmp_path: Path, outside: Path, zoo_cli: Zoo
) -> None:
    texts = [ESCAPES, MARKS, "=cmd", "../../up", "/etc/passwd", "<b>x</b>", "y" * 10_000, "a\tb"]
    labels = [CLASSES[1], CLASSES[8]]
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([f"{text} {i}", labels[i % 2]] for i in range(3) for text in texts)
    run = tmp_path / "run"
    done = zoo_cli(
        "finetune",
        "--no-report",
        "lstm",
        "--data",
        tmp_path / "t.csv",
        "--epochs",
        1,
        "--output",
        run,
    )
    assert done.code == 0, done.err
    assert_plain(done)
    done = zoo_cli("predict", run, tmp_path / "t.csv")
    assert_plain(done)
    assert len(done.out.splitlines()) == 3 * len(texts)
    done = zoo_cli("predict", run, tmp_path / "t.csv", "--json")
    assert_plain(done)
    assert f"{ESCAPES} 0" in {row["input"] for row in done.json}


@pytest.mark.parametrize(
    "name",
    [
        "x" * 10_000,
        ESCAPES,
        MARKS,
        "../" * 100 + "nobody-here",  # not the root itself: as data it would be searched whole
        "~nobody-here/x",
        "",
        " ",
        "-",
        "hf:",
        "path:",
    ],
)
def test_any_name_on_the_command_line_is_answered_in_plain_text(
    name: str, outside: Path, few_photos: Path, run_of_photos: Path, zoo_cli: Zoo
) -> None:
    for command in (
        ("show", f"x{name}"),
        ("list", f"x{name}"),
        ("finetune", f"x{name}", "--data", few_photos),
        ("finetune", "cnn", "--data", f"{name}"),
        ("finetune", "cnn", "--data", few_photos, "--weights", f"x{name}"),
        ("finetune", "cnn", "--data", few_photos, "--strategy", f"x{name}"),
        ("finetune", "--resume", f"x{name}"),
        ("predict", f"x{name}", "y.jpg"),
        ("predict", run_of_photos, f"./x{name}"),
        ("add", run_of_photos, "--name", f"x{name}/"),
        ("add", f"x{name}", "--name", "mine"),
    ):
        done = zoo_cli(*command)
        assert done.code in (0, 1, 2), command
        assert done.code or command[0] == "list", command
        assert_plain(done)
    assert list(Path.cwd().iterdir()) == []


def test_a_run_s_name_of_10_000_characters_is_shortened(
    outside: Path, few_photos: Path, zoo_cli: Zoo
) -> None:
    done = zoo_cli("finetune", "cnn", "--data", few_photos, "--output", "y" * 10_000)
    assert done.code == 1
    assert "cannot be written" in done.err
