"""A whole run of the tests fails if no test has seen some message; a part of one says nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import messages

CONFTEST = """
from pathlib import Path
from tests import messages
messages.LAST = Path("last.txt")
from tests.conftest import pytest_configure, pytest_sessionfinish
"""

TESTS = """
import os
from pathlib import Path
from tests import messages

def test_that_passes():
    pass

def test_that_sees_most():
    seen = [f"{m.file}:{m.lines[1]}" for m in messages.survey()][:-1]
    Path(os.environ[messages.FOLDER], "notes").write_text("\\n".join(seen))

def test_that_sees_the_last():
    last = messages.survey()[-1]
    Path(os.environ[messages.FOLDER], "more").write_text(f"{last.file}:{last.lines[0]}")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose tests are watched as the zoo's are."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "conftest.py").write_text(CONFTEST)
    (tmp_path / "suite" / "test_few.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\ntestpaths = suite\naddopts = -m 'not slow' -p no:cacheprovider\n"
        "markers =\n    slow: long\n"
    )
    return tmp_path


def run(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(messages.ROOT), str(messages.ROOT / "plugins")])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options],
        cwd=project, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip


def test_a_whole_run_that_sees_all_messages_is_green(project: Path) -> None:
    done = run(project)
    assert done.returncode == 0, done.stdout
    assert "No test has seen" not in done.stdout


def test_a_whole_run_that_misses_a_message_fails_and_names_it(project: Path) -> None:
    tests = project / "suite" / "test_few.py"
    tests.write_text(tests.read_text().partition("def test_that_sees_the_last")[0])
    done = run(project)
    assert done.returncode == 1
    assert "2 passed" in done.stdout
    missed = messages.survey()[-1]
    assert "No test has seen 1 of the messages" in done.stdout
    assert f"{missed.file}:{missed.lines[0]}: {missed.text}" in done.stdout


@pytest.mark.parametrize("options", [("-k", "passes"), ("suite",), ("--ignore", "x"), ("-m", "")])
def test_a_part_of_a_run_says_nothing(project: Path, options: tuple[str, ...]) -> None:
    tests = project / "suite" / "test_few.py"
    tests.write_text(tests.read_text().partition("def test_that_sees_most")[0])
    done = run(project, *options)
    assert done.returncode == 0, done.stdout
    assert "No test has seen" not in done.stdout


def test_the_survey_finds_errors_and_warnings() -> None:
    files = {message.file for message in messages.survey()}
    assert len(messages.survey()) > 300
    assert {
        "zoo/registry/registry.py",
        "zoo/weights/first_hashes.py",
        "plugins/zoo_timm/loader.py",
    } <= files
