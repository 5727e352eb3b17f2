"""Commands that plugins add: listed from the index, imported when used, never in another's place."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import ACME, Zoo
from tests.cli.test_cli_completion import words
from tests.docs.blocks import ROOT, blocks

Install = Callable[..., Path]

COMMANDS = """
import zoo

@zoo.hookimpl
def zoo_commands():
    return [zoo.CommandSpec(name=name, target=f"{__name__}_cli:command", help=f"From {__name__}.")
            for name in NAMES]
"""

CLI = """
import click

@click.command()
@click.option("--times", default=1, help="How often.")
def command(times):
    "Greet."
    click.echo("hello " * times)
"""


@pytest.fixture
def publish(install: Install) -> Install:
    """Installs a plugin that adds commands of these names."""

    def write(plugin: str, *names: str, cli: str = CLI) -> Path:
        module = install(plugin, f"NAMES = {list(names)}\n{COMMANDS}")
        module.with_name(f"{module.stem}_cli.py").write_text(cli)
        return module

    return write


def test_a_plugins_command_is_listed_completed_and_run(zoo: Zoo, publish: Install) -> None:
    module = publish("acme", "greet")
    shown = zoo("--help")
    assert shown.code == 0
    assert re.search(rf"^  greet +From {module.stem}\.$", shown.out, re.MULTILINE)
    assert words("gree") == ["greet"]
    assert f"{module.stem}_cli" not in sys.modules  # nothing of that imports the command
    assert zoo("greet", "--times", 2).out == "hello hello \n"
    assert "--times" in zoo("greet", "--help").out
    assert words("greet --t") == ["--times"]
    assert "'greet'" in zoo("gret").err


def test_the_commands_are_kept_and_the_plugin_is_not_imported_again(
    zoo: Zoo, publish: Install
) -> None:
    module = publish("acme", "greet")
    assert "greet" in zoo("--help").out
    assert module.stem in sys.modules
    assert "greet" in zoo("--help").out
    assert module.stem not in sys.modules


def test_the_commands_outlive_a_new_catalogue(zoo: Zoo, install: Install) -> None:
    sync = "\nzoo_sync = zoo.hookimpl(lambda: [image('new')])\n"
    module = install("acme", ACME + f"\nNAMES = ['greet']\n{COMMANDS}" + sync)
    module.with_name(f"{module.stem}_cli.py").write_text(CLI)
    assert zoo("sync", "acme").code == 0
    assert zoo("greet").out == "hello \n"


def test_a_name_that_is_taken_stays_with_its_owner(zoo: Zoo, publish: Install) -> None:
    publish("first", "plugins", "greet")
    publish("second", "greet", cli=CLI.replace("hello", "bye"))
    shown = zoo("--help")
    assert "'first'" in shown.err
    assert "'second'" in shown.err
    assert len(shown.err.splitlines()) == 2
    assert len(re.findall(r"^  (?:plugins|greet) ", shown.out, re.MULTILINE)) == 2
    assert zoo("greet").out == "hello \n"
    rows = {row["name"]: row for row in zoo("plugins", "--json").document}
    assert (rows["first"]["status"], "'plugins'" in rows["first"]["reason"]) == ("ok", True)
    assert "'first'" in rows["second"]["reason"]


@pytest.mark.parametrize(
    ("hook", "fact"),
    [
        ("raise OSError('no disk')", "no disk"),
        ("return 'greet'", "str"),
        ("return [{'greet': 'x:y'}]", "dict"),
        ("yield zoo.CommandSpec(name='Greet me', target='a:b', help='Greet.')", "'Greet me'"),
        ("yield zoo.CommandSpec(name='greet', target='a', help='Greet.')", "'a'"),
        ("yield zoo.CommandSpec(name='greet', target='a:b', help='Gr\\neet.')", "'greet'"),
        ("yield from [zoo.CommandSpec(name='greet', target='a:b', help='Greet.')] * 2", "'greet'"),
    ],
)
def test_a_hook_that_fails_costs_its_own_plugin_only(
    zoo: Zoo, install: Install, publish: Install, hook: str, fact: str
) -> None:
    install("acme", f"import zoo\n@zoo.hookimpl\ndef zoo_commands():\n    {hook}\n")
    publish("good", "welcome")
    shown = zoo("--help")
    assert shown.code == 0
    assert "welcome" in shown.out
    (row,) = [row for row in zoo("plugins", "--json").document if row["name"] == "acme"]
    assert row["status"] == "broken"
    assert fact in row["reason"]
    unknown = zoo("greet")
    assert (unknown.code, "acme (broken)" in unknown.err) == (2, True)


@pytest.mark.parametrize(
    ("cli", "fact"),
    [("raise OSError('no disk')", "no disk"), ("command = 3", "int"), ("", "command")],
)
def test_a_command_that_cannot_be_imported_is_an_error_of_its_plugin(
    zoo: Zoo, publish: Install, cli: str, fact: str
) -> None:
    publish("acme", "greet", cli=cli)
    result = zoo("greet")
    assert result.code == 1
    assert "'acme'" in result.err
    assert fact in result.err
    checked = zoo("check", "acme")
    assert checked.code == 1
    assert "failed    acme  commands_can_be_imported" in checked.out.replace("FAILED", "failed")


def test_help_is_there_where_a_registry_toml_is_not_valid(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("[alias]\n")
    shown = zoo("--help")
    assert (shown.code, "finetune" in shown.out, "registry.toml" in shown.err) == (0, True, True)
    assert zoo("greet").code == 1  # it may be a plugin's, which cannot be known


def test_the_example_of_the_documentation_works(zoo: Zoo, install: Install) -> None:
    (block,) = [b for b in blocks(ROOT / "docs/plugins.md") if "def zoo_commands" in b.text]
    module = install("acme", block.text)
    module.write_text(block.text.replace("acme_zoo", module.stem))
    assert zoo("count-parameters", "cnn").out.strip().isdigit()
    assert zoo("check", "acme").code == 0
