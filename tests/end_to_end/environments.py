"""Environments into which the distributions of ``tests/third_party`` are really installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tomllib
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.end_to_end.conftest import Outcome
from tests.end_to_end.forked import Forked

DISTRIBUTIONS = Path(__file__).parents[1] / "third_party"


@dataclass
class Environment:
    """A virtual environment over that of the tests, with folders of its own for the zoo.

    Attributes:
        folder: Where it lies.
        variables: Set for every command.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        venv.create(self.folder / "venv", with_pip=False, symlinks=True)
        below = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        (self.site / "below.pth").write_text(below)
        self.work.mkdir()

    @property
    def site(self) -> Path:
        (found,) = (self.folder / "venv").glob("lib/python*/site-packages")
        return found

    @property
    def work(self) -> Path:
        """The folder that commands run in."""
        return self.folder / "work"

    @property
    def _own(self) -> dict[str, str]:
        """Its folders."""
        return {
            "ZOO_CACHE": str(self.folder / "cache"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }

    def python(self, *arguments: object, **variables: str) -> Outcome:
        """Run the environment's Python."""
        command = [str(self.folder / "venv" / "bin" / "python"), *map(str, arguments)]
        environment = {
            **os.environ,
            **self._own,
            **self.variables,
            **variables,
        }
        for name in ("ZOO_PLUGINS", "ZOO_NO_PLUGIN"):
            environment.setdefault(name, "")
            if not environment[name]:
                del environment[name]
        done = subprocess.run(
            command, cwd=self.work, env=environment, capture_output=True, text=True, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def pip(self, *arguments: object) -> None:
        """Install or remove with pip: no network, no build isolation."""
        done = self.python("-m", "pip", "--disable-pip-version-check", *arguments)
        assert done.code == 0, done.err

    def install(self, *names: str) -> None:
        """Put distributions of ``tests/third_party`` where pip would, and as it would describe them."""
        for name in names:
            files = DISTRIBUTIONS / name
            project = tomllib.loads((files / "pyproject.toml").read_text("utf-8"))["project"]
            for module in files.glob("*.py"):
                shutil.copy(module, self.site)
            described = ["Metadata-Version: 2.1"]
            described += [f"Name: {project['name']}", f"Version: {project['version']}"]
            described += [f"Requires-Dist: {needed}" for needed in project.get("dependencies", ())]
            metadata = self.site / f"{project['name'].replace('-', '_')}-1.0.dist-info"
            metadata.mkdir()
            (metadata / "METADATA").write_text("\n".join([*described, ""]), "utf-8")
            entries = project["entry-points"]["zoo.plugins"].items()
            lines = ["[zoo.plugins]", *(f"{name} = {module}" for name, module in entries), ""]
            (metadata / "entry_points.txt").write_text("\n".join(lines), "utf-8")

    def zoo(self, *arguments: object, **variables: str) -> Outcome:
        """Run ``zoo`` as a process of its own; a traceback is a failure of the test."""
        done = self.python("-m", "zoo", *arguments, **variables)
        assert "Traceback" not in done.err, done.err
        assert "Error: unexpected" not in done.err, done.err
        return done

    def zoo_each(self, *commands: tuple[object, ...]) -> list[Outcome]:
        """Run commands of ``zoo`` as processes that this one, which has imported torch, becomes."""
        # What they start in turn finds the distributions there.
        variables = {**self._own, **self.variables, "PYTHONPATH": str(self.site)}
        outcomes = []
        for arguments in commands:
            process = Forked(*arguments, cwd=self.work, site=self.site, variables=variables)
            out, err = process.communicate(timeout=300)
            assert "Traceback" not in err, err
            assert "Error: unexpected" not in err, err
            assert process.returncode is not None
            outcomes.append(Outcome(process.returncode, out, err))
        return outcomes

    def plugins(self, **variables: str) -> dict[str, dict[str, Any]]:
        """What ``zoo plugins --json`` prints, by distribution and name."""
        return by_distribution(self.zoo("plugins", "--json", **variables))


def by_distribution(plugins: Outcome) -> dict[str, dict[str, Any]]:
    """The rows of ``zoo plugins --json`` by distribution and name."""
    return {f"{row['distribution']}:{row['name']}": row for row in plugins.json}
