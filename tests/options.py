"""Writes what is made from the table of hyperparameters: ``python -m tests.options``.

That is the types of the keywords of ``zoo.finetune``, and the documentation's table of options.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from zoo.contract.modalities import registered
from zoo.engine import recipe
from zoo.engine.hyperparameters import SECTIONS, Hyperparameter
from zoo.engine.recipe import Recipe
from zoo.modalities import all_modalities
from zoo.runs import request
from zoo.runs.request import OPTIONS, Request

TYPES = Path(request.__file__).with_name("option_types.py")
PAGE = Path(__file__).parents[1] / "docs" / "options.md"
_HEAD = '''"""Types of the options of ``zoo.finetune``, for editors and type checkers.

Made from the table of hyperparameters by ``python -m tests.options``; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
{imports}


class FinetuneOptions(TypedDict, total=False):
    """Options of a fine-tune; ``None`` or a missing option means its default."""

{fields}
'''


def types() -> str:
    """The module of types."""
    kinds = {f.name: str(f.type) for table in (Request, Recipe) for f in dataclasses.fields(table)}
    lines = []
    for name, row in OPTIONS.items():
        if name == "data":
            continue  # an argument of its own
        kind = kinds[name].replace("tuple[str, ...]", "Sequence[str]").removesuffix(" | None")
        words = "".join(f' | Literal["{word}"]' for word in row.words)
        lines += [f"    {name}: {kind}{words} | None", f'    """{row.help}"""']
    fields = "\n".join(lines)
    imports = [*_imports(request, fields), *_imports(recipe, fields)]
    return _formatted(_HEAD.format(imports="\n".join(imports), fields=fields))


def _imports(module: ModuleType, fields: str) -> Iterator[str]:
    """Where the types of a table's module come from, of those that occur in ``fields``."""
    wanted = set(re.findall(r"[:|] ([A-Z]\w+)", fields)) - {"Literal", "Path", "Sequence"}
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (
                f"    from {node.module} import {a.name}" for a in node.names if a.name in wanted
            )
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in wanted:
            yield f"    from {module.__name__} import {ast.unparse(node.targets[0])}"


def _formatted(text: str) -> str:
    for command in (["check", "--select", "I,F401", "--fix"], ["format"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", TYPES, "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        text = done.stdout
    return text


_INTRO = """# Options of a fine-tune

`zoo finetune` takes these as options, `zoo.finetune` and `zoo.find_lr` as keywords (or in `recipe=`, a
mapping), and `run.json` records those that were given. Unknown options, values out of range and options
without effect are errors. Where no default is given, it depends on the backbone, the weights or the
data, and the header of a fine-tune shows it.
"""


def page() -> str:
    """The documentation's table."""
    parts = [_INTRO]
    for section in SECTIONS:
        lines = ["| option | Python | value | default | |", "| --- | --- | --- | --- | --- |"]
        lines += [_line(row) for row in OPTIONS.values() if row.section == section]
        parts.append("\n".join([f"## {section}", "", *lines, ""]))
    return "\n".join(parts)


def _line(row: Hyperparameter) -> str:
    text = row.help.replace("|", "&#124;")
    default = ""
    if row.default is not None and row.default is not False and row.default != ():
        default = f"`{row.default:g}`" if isinstance(row.default, float) else f"`{row.default}`"
        text = re.sub(rf" \(default: {re.escape(default.strip('`'))}\)", "", text)
    ours = [each for each in all_modalities() if registered()[each.name].plugin in ("", "audio")]
    if owners := [each.nouns for each in ours if row.name in each.options]:
        text += f" For {' and '.join(owners)} only."
    return f"| `{row.typed}` | `{row.name}` | {_value(row)} | {default} | {text} |"


def _value(row: Hyperparameter) -> str:
    if row.choices:
        return ", ".join(f"`{choice}`" for choice in row.choices)
    if row.kind is bool:
        return "on or off"
    words = "".join(f", or `{word}`" for word in row.words)
    return ("text" if row.kind is str else row.range) + words


if __name__ == "__main__":
    TYPES.write_text(types(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
