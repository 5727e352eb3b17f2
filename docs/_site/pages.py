"""Pages of the site that are made from what they describe, and the navigation that has them all.

A command's page is its help; a new command or public name has its page, and a new guide its place,
without a line here or in mkdocs.yml.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import zoo
from zoo.cli import cli

ROOT = Path(__file__).parents[2]
NAMES = cli.list_commands(click.Context(cli))
"""The commands: zoo's own, and those of its plugins."""

BORROWED = {"measurements.md": "benchmarks/README.md", "changes.md": "CHANGELOG.md"}
"""Pages that are files of the project outside docs/."""

_ELSEWHERE = re.compile(r"\]\((?!https?://|#)(?:docs/)?([^)]*)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every command and every guide into the navigation."""
    sections: dict[str, Any] = {}
    for item in config.nav:
        sections |= item if isinstance(item, dict) else {}
    sections["Commands"] += ["commands/index.md", *(f"commands/{name}.md" for name in NAMES)]
    folder, named = Path(config.docs_dir), set(_paths(config.nav))
    sections["Guides"] += _unnamed(folder, "*.md", named)
    sections["Background"] += _unnamed(folder, "decisions/*.md", named)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    pages = {"commands/index.md": _commands(), "api.md": _api()}
    pages |= {f"commands/{name}.md": _command(name) for name in NAMES}
    for page, source in BORROWED.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        pages[page] = _ELSEWHERE.sub(r"](\1)", text)
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def _paths(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for item in nav.values() if isinstance(nav, dict) else nav:
            yield from _paths(item)


def _unnamed(folder: Path, pattern: str, named: set[str]) -> list[str]:
    found = (str(path.relative_to(folder)) for path in sorted(folder.glob(pattern)))
    return [path for path in found if path not in named]


# -- commands ----------------------------------------------------------------------------------


def _commands() -> str:
    lines = ["# Commands", "", "| command | what it does |", "| --- | --- |"]
    for name in NAMES:
        lines.append(
            f"| [`zoo {name}`]({name}.md) | {_escaped(_found(name).get_short_help_str(200))} |"
        )
    shared = [parameter for parameter in cli.params if isinstance(parameter, click.Option)]
    lines += ["", "## Options of every command", "", *_table(shared, click.Context(cli))]
    lines += ["", "Results go to standard output, everything else to standard error. The exit code"]
    lines += ["is 0 on success, 1 for a runtime error, 2 for a usage error, and 130 after Ctrl-C."]
    lines += ["[JSON output](../json.md) describes what `--json` prints."]
    return "\n".join(lines)


def _command(name: str) -> str:
    command = _found(name)
    context = click.Context(command, info_name=f"zoo {name}")
    usage = command.get_usage(context).removeprefix("Usage: ")
    parts = [f"# zoo {name}", *_paragraphs(command.help or ""), f"```text\n{usage}\n```"]
    if examples := (command.epilog or "").partition("Examples:")[2]:
        lines = [line.strip() for line in examples.strip().splitlines()]
        parts += ["## Examples", "\n".join(["```shell", *lines, "```"])]
    sections: dict[str, list[click.Option]] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            sections.setdefault(getattr(parameter, "section", "Options"), []).append(parameter)
    for title, options in sections.items():
        parts += [f"## {title}", "\n".join(_table(options, context))]
    return "\n\n".join(parts)


def _found(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, name
    return command


def _paragraphs(text: str) -> list[str]:
    return [_escaped(part) for part in re.split(r"\n\s*\n", text.strip())]


def _table(options: list[click.Option], context: click.Context) -> list[str]:
    records = [record for option in options if (record := option.get_help_record(context))]
    lines = ["| option | what it does |", "| --- | --- |"]
    for names, what in records:
        lines.append(f"| <code>{_escaped(names)}</code> | {_escaped(what)} |")
    return lines


def _escaped(text: str) -> str:
    """Plain text as Markdown that shows it as it is, in one line."""
    line = html.escape(" ".join(text.replace("\b", "").split()), quote=False)
    return re.sub(r"([\\`*_{}\[\]])", r"\\\1", line).replace("|", "&#124;")


# -- Python ------------------------------------------------------------------------------------


def _api() -> str:
    functions = [name for name in zoo.__all__ if name[0].islower()]
    others = [name for name in zoo.__all__ if name not in functions]
    parts = [
        "# Python",
        "`import zoo` does not import torch; each name is loaded on first use. Anything that is not on "
        "this page may change between versions.",
        "## Functions",
        *(f"::: zoo.{name}" for name in functions),
        "## Classes",
        *(f"::: zoo.{name}" for name in others),
        "## Errors",
        "::: zoo.errors",
        "## For the tests of plugins",
        "::: zoo.testing",
    ]
    return "\n\n".join(parts)
