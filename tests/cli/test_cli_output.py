"""JSON and messages: whole, harmless."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image

from zoo.cli import output
from zoo.cli.tables import print_facts, print_table
from zoo.errors import UsageError

ESCAPE = "\x1b[31mred\x1b[0m\x07\u202e"


def test_control_characters_never_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [(ESCAPE,)])
    print_facts({"name": ESCAPE, "empty": "", "none": None})
    output.note(ESCAPE)
    with pytest.raises(SystemExit), output.fail_cleanly():
        raise UsageError(f"bad name {ESCAPE}", hint=ESCAPE)
    captured = capsys.readouterr()
    for text in captured:
        assert "[31mred" in text
        assert not set(text) & {"\x1b", "\x07", "\u202e"}


INVISIBLE = [
    *("\x00", "\x07", "\x1b", "\x7f", "\x85", "\x9b", "\xad", "\u061c", "\u180e"),
    *map(chr, (*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070))),
    *("\ufeff", "\ufff9", "\ufffa", "\ufffb", "\U0001d173", "\U000e0001", "\U000e0041"),
]


def test_what_shows_nothing_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for character in INVISIBLE:
        output.say(f"é{character}a")
        output.note(f"é{character}b")
        print_table(("name",), [(f"é{character}c",)])
        output.emit_json({"name": f"é{character}d"})
        captured = capsys.readouterr()
        assert captured.err.split("\n") in (["éb", ""], ["é", "b", ""])  # some end a line
        shown, _, document = captured.out.partition("{")
        assert shown.splitlines() == ["éa", "name", "éc"], ascii(character)
        assert character not in document, ascii(character)
        assert json.loads("{" + document) == {"name": f"é{character}d"}


def test_json_is_one_document_without_nan(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit_json({"loss": float("nan"), "all": [float("inf"), 1.5, (2, "ä")]})
    assert json.loads(capsys.readouterr().out) == {"loss": None, "all": [None, 1.5, [2, "ä"]]}


@pytest.mark.parametrize(
    "document", [[], [1], [{"a": [1, "x"]}, {"b": float("nan")}], {}, "x", None]
)
def test_json_of_any_shape_can_be_read_back(
    capsys: pytest.CaptureFixture[str], document: object
) -> None:
    output.emit_json(document)
    text = capsys.readouterr().out
    assert text.endswith("\n")
    assert json.loads(text) == json.loads(json.dumps(document).replace("NaN", "null"))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_survives_any_encoding(encoding: str) -> None:
    code = "from zoo.cli.output import emit_json; emit_json(['猫', 'file\\udcff'])"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={"PYTHONIOENCODING": encoding, "PYTHONPATH": ":".join(sys.path)},
        check=True,
    )
    assert json.loads(result.stdout.decode(encoding)) == ["猫", "file\udcff"]


def test_only_documents_reach_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with output.documents_only():
        print("chatter")
        output.emit_json({"a": 1})
        print("more chatter")
    print("afterwards")
    out, err = capsys.readouterr()
    assert out == '{\n  "a": 1\n}\nafterwards\n'
    assert err == "chatter\nmore chatter\n"


def test_a_long_message_is_not_wrapped_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, output.fail_cleanly():
        raise UsageError("word " * 60, hint="first line\nsecond line")
    assert left.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Error: word word")
    assert lines[1:] == ["       first line", "       second line"]


def test_a_long_message_is_wrapped_under_itself_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_terminal_width", lambda: 40)
    with pytest.raises(SystemExit), output.fail_cleanly():
        raise UsageError("word " * 20, hint="/a/long/path" * 6)
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("       ") for line in lines[1:])
    assert all(len(line) <= 40 for line in lines[:-1])
    assert lines[-1].strip() == "/a/long/path" * 6


def test_an_exit_status_that_was_chosen_is_kept() -> None:
    with pytest.raises(SystemExit) as left, output.fail_cleanly():
        raise SystemExit(7)
    assert left.value.code == 7


def test_the_decorator_is_the_same() -> None:
    @output.fail_cleanly()
    def fail() -> None:
        raise UsageError("no")

    with pytest.raises(SystemExit) as left:
        fail()
    assert left.value.code == 1


def test_closed_streams_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    before = warnings.showwarning
    with output.robust_streams():
        assert warnings.showwarning is not before
        print("to nobody")
        print("to nobody", file=sys.stderr)
        assert sys.stdin.read() == ""
    assert warnings.showwarning is before


def test_a_large_image_that_zoo_reads_is_not_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (9500, 9500)).save(tmp_path / "large.png")  # more than half of what zoo refuses
    said: list[object] = []
    for known in (True, False):  # the second shows that Pillow would say something
        tamed = output.robust_streams() if known else contextlib.nullcontext()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            with tamed, monkeypatch.context() as patched:
                patched.setattr("warnings.showwarning", lambda *given: said.append(given))
                Image.open(tmp_path / "large.png").close()
            assert bool(said) is not known


def test_too_little_memory_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, output.fail_cleanly({}):
        raise MemoryError
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert "there is not enough memory" in said
    assert "--batch-size" in said


def test_a_traceback_holds_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), output.fail_cleanly({"debug": True}):
        raise ValueError("photo\x1b]0;owned\x07.png")
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert not set(said) & {"\x1b", "\x07"}


def test_what_torch_says_to_its_own_people_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), output.fail_cleanly({}):
        raise NotImplementedError(
            "Could not run 'torchvision::nms' with arguments from the 'MPS' backend. This could be "
            "because the operator doesn't exist for this backend. If you are a Facebook employee"
        )
    said = capsys.readouterr().err
    assert "Could not run 'torchvision::nms' with arguments from the 'MPS' backend." in said
    assert "Facebook" not in said


def test_libraries_are_quiet_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    import logging
    import warnings

    from zoo.system.library_output import quiet

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet():
            warnings.warn("a library has set requires_grad", stacklevel=1)
            logging.getLogger("matplotlib").error("no font")
        logging.getLogger("matplotlib").error("afterwards")
    assert [record.message for record in caplog.records] == ["afterwards"]
