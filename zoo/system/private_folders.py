"""Folders whose contents are run: nobody but the user may have put anything there. No torch."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from zoo.errors import UsageError


def require_private(folder: Path) -> None:
    """Make ``folder`` if it is not there, and demand that nobody else can write to it.

    Its mode becomes 700.

    Raises:
        UsageError: It is a link, is somebody else's, others may write to it, or others may put
            another folder in its place.
        OSError: It cannot be made, or written to.
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
            raise _refusal(folder, f"lies in {parent}, in which anybody may rename it")
    folder.chmod(0o700)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written to")


def _refusal(folder: Path, what: str) -> UsageError:
    return UsageError(
        f"{folder}, which keeps compiled code, {what}: code in it could be somebody else's",
        hint="Remove it, set ZOO_CACHE to a folder that is yours alone, or give --compile off.",
    )
