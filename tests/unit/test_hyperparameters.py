"""The table of hyperparameters: what values it accepts, and what is made from it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import click
import pytest

import zoo
from tests import options as made
from zoo.cli.finetune import command
from zoo.cli.mistyped import suggesting
from zoo.engine.hyperparameters import SECTIONS, Use, rows
from zoo.engine.progress import Quiet
from zoo.engine.recipe import Recipe
from zoo.errors import PARAMETERS, UsageError, in_python
from zoo.runs.request import OPTIONS, Request

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("warmup", 2, "in [0, 1), got 2"),
        ("ema", 1.0, "in [0, 1), got 1"),
        ("dropout", NAN, "in [0, 1), got nan"),
        ("val_split", 0, "in (0, 1), got 0"),
        ("lr", 0.0, "greater than 0, got 0"),
        ("lr", INF, "greater than 0, got inf"),
        ("mixup", -0.1, "at least 0, got -0.1"),
        ("focal", INF, "at least 0, got inf"),
        ("epochs", 0, "at least 1, got 0"),
        ("epochs", "3", "at least 1, got '3'"),
        ("epochs", 1.5, "at least 1, got 1.5"),
        ("epochs", True, "at least 1, got True"),
        ("balanced", 1, "true or false, got 1"),
        ("schedule", "cosin", "one of cosine, linear, constant, one-cycle, got 'cosin'"),
        ("precision", "fp8", "one of auto, fp32, bf16, fp16, got 'fp8'"),
        ("value_range", (9, 3), "two numbers, black below white, got 9 3"),
    ],
)
def test_a_value_that_is_not_valid_is_named_with_what_it_must_be(
    name: str, value: Any, expected: str
) -> None:
    row = OPTIONS[name]
    with pytest.raises(UsageError) as error:
        row.check(value)
    assert error.value.message.startswith(f"--{row.flag} must be {expected}")
    assert row.help in error.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [("warmup", 0), ("lr", 1e-9), ("batch_size", "auto"), ("lora_alpha", 0), ("patience", None)],
)
def test_the_ends_of_a_range_and_words_are_valid(name: str, value: Any) -> None:
    OPTIONS[name].check(value)


@pytest.mark.parametrize("table", [Recipe, Request])
def test_defaults_are_valid(table: type) -> None:
    for row in rows(table).values():
        row.check(row.default)


def test_a_closest_value_is_suggested() -> None:
    with pytest.raises(UsageError, match="'cosine'"):
        OPTIONS["schedule"].check("cosin")


def test_every_option_has_a_section_of_the_help_and_a_known_use() -> None:
    assert {row.section for row in OPTIONS.values()} <= {*SECTIONS}
    assert {row.use for row in OPTIONS.values()} <= {*get_args(Use)}


def test_the_command_line_has_each_option_with_its_help() -> None:
    found = {p.name: p for p in command.params if isinstance(p, click.Option)}
    for name, row in OPTIONS.items():
        assert row.typed in found[name].opts
        assert found[name].help == row.help
    extra = {*found} - {*OPTIONS} - {"debug", "no_plugin", "quiet", "verbose"}  # of every command
    assert extra == {
        *("resume", "find_lr", "output", "surgery", "save_every", "track", "report", "as_json"),
        *("network", "profile"),
    }


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [("--lerning-rate", "--lr"), ("--max-grad-norm", "--clip"), ("--epoch", "--epochs")],
)
def test_the_command_line_suggests_options_by_what_others_call_them(
    typed: str, suggested: str
) -> None:
    with pytest.raises(click.NoSuchOption) as error, suggesting():
        command.make_context("finetune", ["cnn", typed, "1"])
    assert f"Did you mean '{suggested}'?" in error.value.format_message()


def test_the_types_and_the_documentation_are_those_of_the_table() -> None:
    for path, text in ((made.TYPES, made.types()), (made.PAGE, made.page())):
        assert path.read_text(encoding="utf-8") == text, "run 'python -m tests.options'"


@pytest.mark.parametrize("find", [zoo.finetune, zoo.find_lr])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lerning_rate": 1}, "unknown option 'lerning_rate'. Closest: lr"),
        ({"recipe": {"mix_up": 1}}, "unknown option 'mix_up'. Closest: mixup"),
        ({"recipe": {"warmup": 2}}, "warmup must be in [0, 1), got 2"),
        ({"max_grad_norm": 0}, "max_grad_norm must be greater than 0, got 0"),
        ({"value_range": (2, 1)}, "value_range must be"),
        ({"pooling": "cls"}, "pooling is for texts, and cnn takes images"),
        ({"val_split": 0.5}, "val_split needs data"),
        ({"strategy": "full", "lora_rank": 4, "classes": 2}, "lora_rank has no effect"),
    ],
)
def test_errors_in_python_name_its_parameters(
    find: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as error:
        find("cnn", reporter=Quiet(), **options)
    assert str(error.value).startswith(message)
    assert "--" not in str(error.value)


@pytest.mark.parametrize(
    ("shell", "python"),
    [
        ("--clip and --batch-size, or --range", "max_grad_norm and batch_size, or value_range"),
        ("Leave it out: --precision fp32", 'Leave it out: precision="fp32"'),
        ("Give data with --data PATH, or", "Give data with data=PATH, or"),
        ("--focal 2 is for classes", "focal=2 is for classes"),
        ("Go on: zoo finetune --resume x", "Go on: zoo finetune --resume x"),
        ("'zoo show --json' or --seed", "'zoo show --json' or seed"),
        (
            "Do: zoo predict a/b INPUT. Use --weights a/b",
            'Do: zoo predict a/b INPUT. Use weights="a/b"',
        ),
        ("pass --network my/f.py:build.", 'pass network="my/f.py:build".'),
        ("use --weights none or --weights PATH", 'use weights="none" or weights=PATH'),
        (
            "without '--bad-files skip' or --network out",
            "without 'bad_files=\"skip\"' or network out",
        ),
        (
            "--range 0 1 does not fit. Leave --lr out.",
            "value_range=(0, 1) does not fit. Leave lr out.",
        ),
        ("pip install --no-deps x. Or --device cpu", 'pip install --no-deps x. Or device="cpu"'),
        ("leave it out: --no-plugin NAME", "leave it out: ZOO_NO_PLUGIN=NAME"),
        ("a--b and ---", "a--b and ---"),
    ],
)
def test_a_message_names_options_as_python_spells_them(shell: str, python: str) -> None:
    assert in_python(shell) == python


def test_options_with_another_name_in_python_are_those_of_the_table() -> None:
    other = {
        row.flag: row.name for row in OPTIONS.values() if row.flag.replace("-", "_") != row.name
    }
    assert {flag: PARAMETERS[flag] for flag in PARAMETERS if flag != "no-plugin"} == other


def test_the_help_needs_no_torch() -> None:
    code = (
        "import sys, zoo.cli.finetune; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
