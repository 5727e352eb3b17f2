"""Environments into which the distributions of ``tests/third_party`` are really installed."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.end_to_end.conftest import Outcome

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

    def python(self, *arguments: object, **variables: str) -> Outcome:
        """Run the environment's Python."""
        command = [str(self.folder / "venv" / "bin" / "python"), *map(str, arguments)]
        environment = {
            **os.environ,
            "ZOO_CACHE": str(self.folder / "cache"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
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
        """Install distributions of ``tests/third_party``."""
        paths = [DISTRIBUTIONS / name for name in names]
        self.pip("install", "-q", "--no-index", "--no-deps", "--no-build-isolation", *paths)

    def zoo(self, *arguments: object, **variables: str) -> Outcome:
        """Run ``zoo`` as a process of its own; a traceback is a failure of the test."""
        done = self.python("-m", "zoo", *arguments, **variables)
        assert "Traceback" not in done.err, done.err
        assert "Error: unexpected" not in done.err, done.err
        return done

    def plugins(self, **variables: str) -> dict[str, dict[str, Any]]:
        """What ``zoo plugins --json`` prints, by distribution and name."""
        rows = self.zoo("plugins", "--json", **variables).json
        return {f"{row['distribution']}:{row['name']}": row for row in rows}
