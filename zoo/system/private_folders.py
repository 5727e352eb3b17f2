"""Folders whose contents are executed: only the user may write to them. No torch."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from zoo.errors import UsageError


def require_private(folder: Path) -> None:
    """Create ``folder`` if needed, and check that only the user can write to it.

    Its mode is set to 700.

    Raises:
        UsageError: It is a link or belongs to another user, or other users can write to it or
            replace it.
        OSError: It cannot be created, or written to.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "posix":  # elsewhere a mode says nothing of who may write
        return
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise _refusal(folder, "is a link")
    if found.st_uid != os.geteuid():
        raise _refusal(folder, f"belongs to the user with the id {found.st_uid}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _refusal(folder, f"may be written by others (mode {stat.S_IMODE(found.st_mode):o})")
    for parent in folder.resolve().parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise _refusal(folder, f"is in {parent}, where any user can rename it")
    folder.chmod(0o700)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written to")


def _refusal(folder: Path, what: str) -> UsageError:
    return UsageError(
        f"the folder for compiled code, {folder}, {what}: others could place code in it",
        hint="Remove it, set ZOO_CACHE to a folder that only you can write to, or use --compile off.",
    )
