"""Publish runs as backbones in the user's ``registry.toml``, for ``zoo add``."""

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
from zoo.registry.policy import Policy, apply_file, user_file
from zoo.registry.policy_file import with_run, without_run
from zoo.registry.registry import Registry
from zoo.registry.run_record import FinishedRun, read_run
from zoo.system import files
from zoo.system.small_files import read_small

_NAME = re.compile(r"[^\W_][\w.-]{0,99}")
_RESERVED = ("auto", "none")  # values of --weights

LOCK_SECONDS = 10.0
"""Timeout for another command that changes the same file."""


@dataclass(frozen=True)
class Published:
    """Result of :func:`publish`.

    Attributes:
        run: The run, with its new name.
        file: The ``registry.toml`` that was changed.
        before: The run folder that previously had the name, or ``None``.
    """

    run: FinishedRun
    file: Path
    before: Path | None


def publish(name: str, folder: Path, *, registry: Registry, replace: bool = False) -> Published:
    """Publish a run as a backbone, for this user.

    Args:
        name: Up to 100 letters, digits, ``-``, ``_`` and ``.``; starts with a letter or digit.
        folder: A finished run; the sha256 of its weights is checked.
        registry: For names already in use.
        replace: Allow a name that another run has.

    Raises:
        UsageError: The name is not valid, or in use.
        RunError: The folder is not a finished run, or is damaged, or no plugin has its
            backbone.
        PolicyError: The file cannot be read or written, or is a link.
    """
    _check_name(name, registry)
    run = read_run(folder, name=name)
    run.check_weights()
    registry.check_loader(run.spec, run.folder, run.record.get("plugins"))
    _check_text(run.folder)
    with _changing() as (file, user, change):
        _check_layers(name, file, registry.policy)
        before = _absolute(user.runs[name]) if name in user.runs else None
        if before not in (None, run.folder) and not replace:
            raise UsageError(
                f"the name {name!r} is already used by the run {before}",
                hint="Use another name, or --replace.",
            )
        if before != run.folder:
            change(lambda text: with_run(text, name, str(run.folder)))
    return Published(run, file, before)


def unpublish(name: str, *, registry: Registry) -> tuple[Path, Path]:
    """Remove a name from the user's ``registry.toml``; the run itself is kept.

    Returns:
        The run folder, and the file.

    Raises:
        NameLookupError: No run of that name is in the file.
        PolicyError: The file cannot be read or written, or is a link.
    """
    with _changing() as (file, user, change):
        if name not in user.runs:
            _check_layers(name, file, registry.policy)
            guess = did_you_mean(name, user.runs)
            raise NameLookupError(
                f"{file} has no run called {name!r}.{guess}",
                hint=f"Runs in it: {', '.join(user.runs) or 'none'}.",
            )
        change(lambda text: without_run(text, name))
    return _absolute(user.runs[name]), file


def _check_name(name: str, registry: Registry) -> None:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise UsageError(
            f"{name!r} is not a valid name for a run",
            hint="Use up to 100 letters, digits, '-', '_' and '.', such as my-animals.",
        )
    if owner := registry.owner(name):
        raise UsageError(
            f"the name {name!r} is already used by {owner}",
            hint=f"Use another name, such as my-{name}.",
        )


def _check_text(folder: Path) -> None:
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise RunError(
            f"the path {os.fsencode(folder)!r} is not valid UTF-8, as registry.toml requires",
            hint="Rename the folder.",
        ) from error


def _check_layers(name: str, file: Path, policy: Policy) -> None:
    """Raise if a file nearer to the working directory overrides the name."""
    where = policy.run_files.get(name)
    if where is not None and where != file.resolve():
        raise PolicyError(
            f"{name!r} is set in {where}, which takes precedence over {file}",
            hint=f"Use another name, or change [models.{name}] there.",
        )


@contextmanager
def _changing() -> Iterator[tuple[Path, Policy, Callable[[Callable[[str], str]], None]]]:
    """Lock the user's file; yield its path, its policy, and a function that edits its text."""
    file = user_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=LOCK_SECONDS):
            _check_not_a_link(file)
            user = apply_file(Policy(), file) if file.exists() else Policy()
            yield file, user, lambda edit: _rewrite(file, edit)
    except Timeout as error:
        raise PolicyError(
            f"{file} is being changed by another command",
            hint="Run this command again when the other one is done.",
        ) from error
    except OSError as error:
        raise PolicyError(
            f"{file} cannot be written: {error.strerror or error}",
            hint="Fix its permissions, or set XDG_CONFIG_HOME to a writable folder.",
        ) from error


def _check_not_a_link(file: Path) -> None:
    if file.is_symlink():
        raise PolicyError(
            f"{file} is a symbolic link to {os.readlink(file)}; zoo does not write through links",
            hint='Edit the file yourself: [models.NAME] and run = "FOLDER".',
        )


def _rewrite(file: Path, edit: Callable[[str], str]) -> None:
    content = read_small(file) if file.exists() else b"schema = 1\n"
    bom = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    text = edit(content.removeprefix(bom).decode())
    with files.replacing(file) as temporary:
        temporary.write_bytes(bom + text.encode())
        if file.exists():
            shutil.copymode(file, temporary)


def _absolute(folder: Path) -> Path:
    return Path(os.path.abspath(folder))
