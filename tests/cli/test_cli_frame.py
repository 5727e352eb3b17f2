"""Help, exit codes, errors: what holds for every command."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tests.cli.conftest import Zoo
from zoo.cli import COMMANDS, cli
from zoo.version import __version__

HEAVY = ("torch", "torchvision", "timm", "transformers", "datasets", "accelerate", "sklearn")
HEAVY += ("fastapi", "uvicorn")
ALL = sorted([*COMMANDS, "serve"])  # that of a plugin which comes with zoo


def _command(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


def _examples(name: str) -> list[str]:
    lines = (_command(name).epilog or "").splitlines()
    return [line.strip() for line in lines[lines.index("Examples:") + 1 :]]


def test_the_list_of_commands_fits_80_columns_in_whole_phrases(zoo: Zoo) -> None:
    lines = zoo("--help").out.splitlines()
    assert {line.split()[0] for line in lines if line.startswith("  ")} >= set(ALL)
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines[1:] if line.endswith(("...", "…"))]


@pytest.mark.parametrize("name", ALL)
def test_help_starts_with_an_imperative_and_ends_with_examples(zoo: Zoo, name: str) -> None:
    result = zoo(name, "--help")
    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 80
    first = re.split(r"(?<=\.)\s", (_command(name).help or "").strip())[0]
    assert re.match(r"[A-Z][a-z-]*[^s\W] ", first), f"no imperative: {first}"
    assert first.endswith(".")
    block = result.out.rstrip().rpartition("\n\n")[2].splitlines()
    assert block[0].strip() == "Examples:"
    assert len(block) >= 3
    assert all("zoo " in line for line in block[1:])


@pytest.mark.parametrize("name", ALL)
def test_every_example_is_a_command_that_exists(name: str) -> None:
    for example in _examples(name):
        words = shlex.split(re.split(r" [|>]", example.partition("zoo ")[2])[0])
        assert words[0] == name, example
        _command(name).make_context(name, words[1:])


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_json_and_describes_its_options(name: str) -> None:
    options = [p for p in _command(name).params if isinstance(p, click.Option)]
    assert "--json" in {flag for option in options for flag in option.opts}
    for option in options:
        assert option.help, f"{name} {option.opts} has no help"


def test_the_groups_help_names_every_command(zoo: Zoo) -> None:
    result = zoo("-h")
    assert result.code == 0
    for name in ALL:
        assert re.search(rf"^  {name} ", result.out, re.MULTILINE)


def test_commands_of_plugins_have_a_group_of_their_own(zoo: Zoo) -> None:
    groups = re.split(r"^(?=\w)", zoo("--help").out, flags=re.MULTILINE)
    titles = {name: group for group in groups for name in re.findall(r"^  ([a-z-]+) ", group, re.M)}
    assert titles["serve"].startswith("From plugins:")
    assert titles["finetune"].startswith("Train:")
    assert titles["finetune"] != titles["predict"] != titles["list"]


MISTYPED = {
    ("train", "resnet18"): "Did you mean 'finetune'?",
    ("Train",): "Did you mean 'finetune'?",
    ("tarin",): "Did you mean 'finetune'?",
    ("open", "runs/a"): "Did you mean 'show'?",
    ("info", "vgg16"): "Did you mean 'show'?",
    ("rm", "runs/a"): "Did you mean 'runs --delete'?",
    ("versoin",): "Did you mean 'version'?",
    ("ls",): "Did you mean 'list'?",
    ("test", "runs/a"): "Did you mean 'evaluate'?",
    ("infer", "runs/a", "a.jpg"): "Did you mean 'predict'?",
    ("benchmark",): "Did you mean 'compare'?",
    ("eval",): "Did you mean 'evaluate'?",
    ("shwo", "vgg16"): "Did you mean 'show'?",
    ("help",): "Did you mean '--help'?",
    ("finetune", "cnn", "--gpu"): "Did you mean '--device cuda'?",
    ("finetune", "--model", "cnn"): "BACKBONE needs no option: zoo finetune BACKBONE",
    ("show", "--model", "cnn"): "NAME needs no option: zoo show NAME",
    ("finetune", "cnn", "--tag", "x"): "Did you mean '--weights'?",
    ("finetune", "cnn", "--learning-rate", "1"): "Did you mean '--lr'?",
    ("finetune", "cnn", "--learning_rate", "1"): "Did you mean '--lr'?",
    ("finetune", "cnn", "--bs", "4"): "Did you mean '--batch-size'?",
    ("finetune", "cnn", "--batch_size", "4"): "Did you mean '--batch-size'?",
    ("finetune", "cnn", "--num_workers", "4"): "Did you mean '--workers'?",
    ("finetune", "cnn", "--epohcs", "4"): "Did you mean '--epochs'?",
    ("finetune", "cnn", "--precision", "half"): "Did you mean 'fp16'?",
    ("finetune", "cnn", "--strategy", "linear"): "Did you mean 'probe'?",
    ("finetune", "cnn", "--strategy", "finetune"): "Did you mean 'full'?",
    ("list", "--modality", "vision"): "Did you mean 'image'?",
    ("list", "--sort", "acc"): "Did you mean 'accuracy'?",
    ("export", "runs/a", "--output_dir", "x"): "Did you mean '--output'?",
}


@pytest.mark.parametrize("arguments", MISTYPED, ids=" ".join)
def test_what_newcomers_type_is_answered_with_what_it_is_called(
    zoo: Zoo, arguments: tuple[str, ...]
) -> None:
    result = zoo(*arguments)
    assert result.code in (1, 2)
    assert MISTYPED[arguments] in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "arguments", [("frobnicate",), ("finetune", "cnn", "--zzz"), ("list", "--sort", "zzz")]
)
def test_what_is_like_nothing_gets_no_suggestion(zoo: Zoo, arguments: tuple[str, ...]) -> None:
    result = zoo(*arguments)
    assert result.code == 2
    assert "Did you mean" not in result.err


def test_the_version_is_the_packages(zoo: Zoo) -> None:
    result = zoo("version")
    assert result.out.splitlines()[0].split() == ["zoo", __version__]
    assert zoo("--version").out == result.out
    document = zoo("version", "--json").document
    assert (document["zoo"], "cpu" in document["devices"]) == (__version__, True)


def test_quiet_prints_results_and_errors_alone(zoo: Zoo, acme: Path) -> None:
    result = zoo("list", "absent")
    assert "No backbone matches 'absent'" in result.err
    for arguments in (["-q", "list", "absent"], ["list", "absent", "-q"]):
        assert (zoo(*arguments).out, zoo(*arguments).err) == (result.out, "")
    assert "no backbone is called 'absent'" in zoo("show", "absent", "-q").err
    assert "No backbone matches" in zoo("list", "absent").err  # the one before left nothing


def test_verbose_prints_log_messages(zoo: Zoo, acme: Path) -> None:
    acme.write_text(
        acme.read_text() + "\nimport logging\nlogging.getLogger('acme').info('hello')\n"
    )
    assert "acme: hello" in zoo("plugins", "-v").err
    acme.write_text(acme.read_text() + "\n")
    assert "acme: hello" not in zoo("plugins").err


def test_help_imports_nothing_heavy() -> None:
    """One process for each command, forked from one that has imported the command line alone."""
    code = f"""
import os, sys
from zoo.cli import main
for arguments in {[[], ["-h"], *([name, "-h"] for name in ALL)]!r}:
    child = os.fork()
    if not child:
        sys.argv = ["zoo", *arguments]
        try:
            main()
        except SystemExit:
            pass
        heavy = [name for name in {HEAVY!r} if name in sys.modules]
        if heavy:
            print(*arguments, "imports", *heavy, file=sys.stderr, flush=True)
        os._exit(bool(heavy))
    assert os.waitpid(child, 0)[1] == 0
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_python_m_zoo_is_the_same_command() -> None:
    run = [sys.executable, "-m", "zoo", "--version"]
    result = subprocess.run(run, capture_output=True, text=True, check=True)
    assert result.stdout.split()[:2] == ["zoo", __version__]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["xyzzy"], "No such command 'xyzzy'."),
        (["list", "--modalty", "image"], "Did you mean '--modality'?"),
        (["list", "--modality", "smell"], "'smell' is not one of 'image', 'text'"),
        (["list", "a", "b"], "unexpected extra argument"),
        (["show"], "Missing argument 'NAME'"),
        (["list", "--max-params", "many"], "'many' is not a valid number"),
        (["list", "--max-params", "-3"], "'-3' is not a valid number"),
        (["--verbos"], "Did you mean '--verbose'?"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_right(
    zoo: Zoo, arguments: list[str], message: str
) -> None:
    result = zoo(*arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "--help' for help." in result.err
    assert "Traceback" not in result.err


def test_an_error_of_the_zoo_is_two_lines_and_exit_1(zoo: Zoo, acme: Path) -> None:
    result = zoo("show", "midle")
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines() == [
        "Error: no backbone is called 'midle'. Closest: middle, mid.",
        "       'zoo list --all' lists all.",
    ]


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_where_an_error_comes_from(zoo: Zoo, acme: Path, place: str) -> None:
    arguments = ["show", "absent"]
    result = zoo(*(["--debug", *arguments] if place == "before" else [*arguments, "--debug"]))
    assert result.code == 1
    assert "Traceback (most recent call last)" in result.err
    assert "Error: no backbone is called 'absent'." in result.err


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes ``zoo plugins`` raise."""

    def arrange(error: BaseException) -> None:
        def discover() -> None:
            raise error

        monkeypatch.setattr("zoo.registry.registry.Registry.discover", discover)

    return arrange


def test_an_unexpected_error_is_short_and_asks_for_debug(
    zoo: Zoo, raising: Callable[[BaseException], None]
) -> None:
    raising(KeyError("colour\nof the sky"))
    result = zoo("plugins")
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines() == [
        "Error: unexpected KeyError: 'colour\\nof the sky'",
        "       Run the command again with --debug to see where it comes from.",
    ]
    assert "Traceback" in zoo("plugins", "--debug").err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c_is_one_line_and_exit_130(
    zoo: Zoo, raising: Callable[[BaseException], None], error: BaseException
) -> None:
    raising(error)
    result = zoo("plugins")
    assert result.code == 130
    assert result.err.strip() == "Interrupted."


def test_an_end_of_file_is_no_interrupt(zoo: Zoo, raising: Callable[[BaseException], None]) -> None:
    raising(EOFError("cut off"))
    result = zoo("plugins")
    assert result.code == 1
    assert "Error: unexpected EOFError: cut off" in result.err


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{shlex.quote(sys.executable)} -m zoo list --all | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert result.stdout.startswith("name")
    assert "Error" not in result.stderr
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr


def test_a_broken_policy_file_is_an_error_of_the_zoo(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("[alias]\n")
    result = zoo("list")
    assert result.code == 1
    assert f"Error: {tmp_path / 'registry.toml'}, line 1: unknown key 'alias'" in result.err
    assert "       Did you mean 'aliases'?" in result.err


def test_a_warning_is_one_line_without_code(
    zoo: Zoo, acme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    run = [sys.executable, "-m", "zoo", "list"]
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))
    result = subprocess.run(run, capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stderr.splitlines()[0].startswith("Warning: failed to write the index in")
    assert ".py:" not in result.stderr


def test_json_keeps_standard_output_for_the_document(zoo: Zoo, acme: Path) -> None:
    acme.write_text(acme.read_text() + "\nprint('a library that chats')\n")
    result = zoo("plugins", "--json")
    assert {plugin["name"]: plugin["status"] for plugin in result.document}["acme"] == "ok"
    assert "a library that chats" in result.err


def test_a_list_does_not_wait_for_the_table_of_hyperparameters() -> None:
    code = "import sys, zoo.cli.catalogue; assert 'zoo.engine' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
