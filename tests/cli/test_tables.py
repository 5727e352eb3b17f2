"""Tables: whole in a log, fitted to a terminal of 80 or 120 columns."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from zoo.cli import cli, doctor
from zoo.cli.catalogue import command as list_command
from zoo.cli.tables import cell_width, fits, print_facts, print_table


def be_terminal(monkeypatch: pytest.MonkeyPatch, width: int, *, typed: bool = False) -> None:
    """Make standard output a terminal; ``typed`` makes standard input one too."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: typed, raising=False)


def plain(text: str) -> list[str]:
    """The lines without bold type."""
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]


def test_a_table_for_a_log_is_aligned_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    print_table(("name", "params", "note"), [("a", "1.5M", long), ("b" * 30, "11.7M", None)])
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{'name':<30}  params  note",
        f"{'a':<30}    1.5M  {long}",
        f"{'b' * 30}   11.7M",
    ]


def test_a_wide_character_takes_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("class", "kind"), [("猫", "x"), ("dog", "y")])
    assert capsys.readouterr().out.splitlines() == ["class  kind", "猫     x", "dog    y"]


def test_versions_are_not_aligned_like_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("version", "count"), [("0.1.0", 7), ("10.0.1", 1234)])
    assert capsys.readouterr().out.splitlines() == [
        "version  count",
        "0.1.0        7",
        "10.0.1    1234",
    ]


LONG = "timm/vit_large_patch14_clip_224.metaclip_2pt5b"


def test_columns_are_left_out_in_their_order_and_names_are_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_terminal(monkeypatch, 80)
    rows = [(LONG, "", 1024, "openai_ft_in12k_in1k", "Apache-2.0"), ("b", "", 7, "x", "MIT")]
    columns = ("name", "cached", "width", "weights", "license")
    print_table(columns, rows, less=("weights", "width", "cached"))
    found = capsys.readouterr()
    # "cached" is empty, and "weights" does not fit: what is left takes 46 + 2 + 5 + 2 + 10.
    assert plain(found.out) == [
        f"{'name':<46}  width  license",
        f"{LONG}   1024  Apache-2.0",
        f"{'b':<46}      7  MIT",
    ]
    assert found.err == "Not shown at this width: cached, weights.\n"
    be_terminal(monkeypatch, 120)
    print_table(columns, rows, less=("weights", "width", "cached"))
    found = capsys.readouterr()
    assert "openai_ft_in12k_in1k" in found.out
    assert not found.err


def test_texts_are_shortened_the_end_of_a_path_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_terminal(monkeypatch, 40)
    print_table(
        ("[bold]", "said", "data"), [("[red]x", "many words here", "/data/" + "y" * 40 + "/val")]
    )
    text = capsys.readouterr().out.splitlines()[1]
    assert "[red]x" in text, "a name is not markup"
    assert "many words here  …yy" in text
    assert text.endswith("y/val")
    assert len(text) == 40


def test_the_last_column_may_wrap_between_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_terminal(monkeypatch, 40)
    reason = "needs another version of the library than the one here"
    print_table(("plugin", "reason"), [("timm", reason)], wrapped=True)
    lines = plain(capsys.readouterr().out)[1:]
    assert " ".join(line[8:].strip() for line in lines) == reason
    assert all(len(line) <= 40 for line in lines)
    print_facts({"name": "x", "reason": reason})
    assert capsys.readouterr().out.splitlines() == [
        "name    x",
        "reason  needs another version of the",
        "        library than the one here",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_of_zoo_list_is_wider_than_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_terminal(monkeypatch, width)
    list_command.main([], standalone_mode=False)
    lines = plain(capsys.readouterr().out)
    assert all(cell_width(line) <= width for line in lines)
    names = [line.split()[0] for line in lines]
    assert {"mobilenet_v3_small", "bert-base-multilingual-cased"} <= set(names)
    assert {"params", "input", "license"} <= set(lines[0].split())


def test_a_long_table_goes_through_the_pager(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paged = tmp_path / "paged.txt"
    be_terminal(monkeypatch, 80, typed=True)
    monkeypatch.setenv("PAGER", f"tee {paged}")
    print_table(("name", "n"), [(f"row-{i}", i) for i in range(150)])
    assert paged.read_text(encoding="utf-8").splitlines()[-1] == "row-149  149"


def test_whether_a_matrix_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [str(i) for i in range(25)]
    rows = [["1"] * 25]  # 10 columns of 1 character, 15 of 2, and 24 gaps of 2
    assert fits(columns, rows)  # of a pipe
    be_terminal(monkeypatch, 87)
    assert not fits(columns, rows)
    be_terminal(monkeypatch, 88)
    assert fits(columns, rows)


def broken(text: str, whole: str, width: int) -> list[str]:
    """Lines of ``text`` that are too wide, and words that ``whole``, printed to a pipe, does not have."""
    words, lines = set(whole.split()), plain(text)
    wide = [line for line in lines if cell_width(line) > width]
    return wide + [
        word for word in " ".join(lines).split() if word not in words and "…" not in word
    ]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    "typed", ["plugins", "show resnet18", "show bert-base-uncased", "list *resnet*", "cache"]
)
def test_no_word_of_a_command_is_broken(
    typed: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(typed.split(), standalone_mode=False)
    whole = capsys.readouterr().out
    be_terminal(monkeypatch, width)
    cli.main(typed.split(), standalone_mode=False)
    assert broken(capsys.readouterr().out, whole, width) == []


@pytest.mark.parametrize("width", [80, 120])
def test_no_word_of_doctor_is_broken(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    advice = "To fix it, install both from one index: https://pytorch.org/get-started/locally/ " * 2
    value = "torchvision's compiled operators do not load beside this torch, which is newer"
    findings = [doctor.Finding("torch and torchvision", "warning", value, advice)]
    doctor._print(findings, Counter(warning=1))
    whole = capsys.readouterr().out
    assert whole.endswith("\n0 errors, 1 warning\n")
    be_terminal(monkeypatch, width)
    doctor._print(findings, Counter(warning=1))
    assert broken(capsys.readouterr().out, whole, width) == []


def test_a_long_path_in_the_cache_is_shortened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_terminal(monkeypatch, 80)
    print_table(("backbone", "data"), [("path:/" + "x" * 90 + "/model", "photos")], whole=0)
    line = plain(capsys.readouterr().out)[1]
    assert len(line) <= 80
    assert line.endswith("/model  photos")
