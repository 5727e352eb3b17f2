"""Writes the types of ``zoo.finetune``'s options from the table: ``python -m tests.option_types``."""

from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from zoo.engine import recipe
from zoo.engine.recipe import Recipe
from zoo.runs import request
from zoo.runs.request import OPTIONS, Request

PATH = Path(request.__file__).with_name("option_types.py")
_HEAD = '''"""Types of the options of ``zoo.finetune``, for editors and type checkers.

Made from the table of hyperparameters by ``python -m tests.option_types``; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
{imports}


class FinetuneOptions(TypedDict, total=False):
    """Options of a fine-tune; one that is left out, or ``None``, has its default."""

{fields}
'''


def source() -> str:
    """The module's text."""
    types = {f.name: str(f.type) for table in (Request, Recipe) for f in dataclasses.fields(table)}
    lines = []
    for name, row in OPTIONS.items():
        if name == "data":
            continue  # an argument of its own
        kind = types[name].replace("tuple[str, ...]", "Sequence[str]").removesuffix(" | None")
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
            [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", PATH, "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        text = done.stdout
    return text


if __name__ == "__main__":
    PATH.write_text(source(), encoding="utf-8")
