"""Runs as backbones: ``zoo add`` writes them into the user's ``registry.toml``, and out of it."""

from __future__ import annotations

import codecs
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from zoo.errors import NameLookupError, PolicyError, RunError, UsageError, did_you_mean
from zoo.registry.policy import Policy, lay_over, user_file
from zoo.registry.policy_file import with_run, without_run
from zoo.registry.registry import Registry
from zoo.registry.run_record import FinishedRun, read_run
from zoo.system import files
from zoo.system.small_files import read_small

_NAME = re.compile(r"[^\W_][\w.-]{0,99}")
_WORDS = ("auto", "none")  # what --weights means by them

LOCK_SECONDS = 10.0
"""How long one command waits for another that changes the same file."""


@dataclass(frozen=True)
class Published:
    """What came of :func:`publish`.

    Attributes:
        run: The run, with its new name.
        file: The ``registry.toml`` that says so.
        before: The run folder that had the name until now, or ``None``.
    """

    run: FinishedRun
    file: Path
    before: Path | None


def publish(name: str, folder: Path, *, registry: Registry, replace: bool = False) -> Published:
    """Make the run in ``folder`` a backbone called ``name``, for this user.

    Args:
        name: A letter or digit, then letters, digits, ``-``, ``_`` and ``.``.
        folder: A finished run; its weights are compared with the sha256 that it records.
        registry: Whose names are taken.
        replace: Whether the name may be that of another run until now.

    Raises:
        UsageError: The name cannot be one, or something else has it.
        RunError: The folder is not a finished run, or is damaged.
        PolicyError: The file cannot be read, is a link, or cannot be written.
    """
    _check_name(name, registry)
    run = read_run(folder, name=name)
    run.check_weights()
    _check_text(run.folder)
    with _changing() as (file, own, change):
        _check_layers(name, file, registry.policy)
        before = _absolute(own.runs[name]) if name in own.runs else None
        if before not in (None, run.folder) and not replace:
            raise UsageError(
                f"{name!r} is the name of the run {before} already",
                hint="Give another name, or --replace to give the name to this run.",
            )
        if before != run.folder:
            change(lambda text: with_run(text, name, str(run.folder)))
    return Published(run, file, before)


def withdraw(name: str, *, registry: Registry) -> tuple[Path, Path]:
    """Take ``name`` out of the user's ``registry.toml``; the run itself stays as it is.

    Returns:
        The run folder that had the name, and the file.

    Raises:
        NameLookupError: The file has no run of that name.
        PolicyError: The file cannot be read, is a link, or cannot be written.
    """
    with _changing() as (file, own, change):
        if name not in own.runs:
            _check_layers(name, file, registry.policy)
            guess = did_you_mean(name, own.runs)
            raise NameLookupError(
                f"{file} has no run called {name!r}.{guess}",
                hint=f"It has: {', '.join(own.runs) or 'none'}.",
            )
        change(lambda text: without_run(text, name))
    return _absolute(own.runs[name]), file


def _check_name(name: str, registry: Registry) -> None:
    if not _NAME.fullmatch(name) or name in _WORDS:
        raise UsageError(
            f"{name!r} cannot be the name of a run",
            hint="Give up to 100 letters, digits, '-', '_' and '.', such as my-animals.",
        )
    if owner := registry.owner(name):
        raise UsageError(
            f"{name!r} is taken: it is {owner}",
            hint=f"Give another name, such as my-{name}.",
        )


def _check_text(folder: Path) -> None:
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise RunError(
            f"the path {os.fsencode(folder)!r} is not UTF-8, and registry.toml cannot hold it",
            hint="Rename the folder.",
        ) from error


def _check_layers(name: str, file: Path, policy: Policy) -> None:
    """A file nearer to the working directory wins, and a change to the user's would do nothing."""
    where = policy.run_files.get(name)
    if where is not None and where != file.resolve():
        raise PolicyError(
            f"{name!r} is published by {where}, which goes before {file}",
            hint=f"Use another name, or change [models.{name}] there.",
        )


@contextmanager
def _changing() -> Iterator[tuple[Path, Policy, Callable[[Callable[[str], str]], None]]]:
    """The user's file while nobody else changes it, what it says, and how to change its text."""
    file = user_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=LOCK_SECONDS):
            _check_own(file)
            own = lay_over(Policy(), file) if file.exists() else Policy()
            yield file, own, lambda edit: _rewrite(file, edit)
    except Timeout as error:
        raise PolicyError(
            f"{file} is being changed by another command",
            hint="Run this one again when that one is done.",
        ) from error
    except OSError as error:
        raise PolicyError(
            f"{file} cannot be written: {error.strerror or error}",
            hint="Fix its permissions, or set XDG_CONFIG_HOME to a folder that can be written.",
        ) from error


def _check_own(file: Path) -> None:
    if file.is_symlink():
        raise PolicyError(
            f"{file} is a link to {os.readlink(file)}, and the zoo does not write through links",
            hint='Add the run there yourself: [models.NAME] and run = "FOLDER".',
        )


def _rewrite(file: Path, edit: Callable[[str], str]) -> None:
    given = read_small(file) if file.exists() else b"schema = 1\n"
    mark = codecs.BOM_UTF8 if given.startswith(codecs.BOM_UTF8) else b""
    text = edit(given.removeprefix(mark).decode())
    with files.replacing(file) as temporary:
        temporary.write_bytes(mark + text.encode())
        if file.exists():
            shutil.copymode(file, temporary)


def _absolute(folder: Path) -> Path:
    return Path(os.path.abspath(folder))
