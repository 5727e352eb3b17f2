"""Walk folders, each once, and record what is skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from zoo.data.kind import InputKind
from zoo.errors import DataError

# fmt: off
_SYSTEM = frozenset((
    "__macosx", "__pycache__", "@eadir", "#recycle", "#snapshot", "@recycle", "lost+found",
    "$recycle.bin", "recycler", "system volume information", "network trash folder",
    "temporary items", "found.000",
))
# fmt: on
"""Folders left behind by operating systems, network drives and archives, in lower case. Dot folders
are hidden anyway."""


@dataclass
class Walked:
    """The contents of a folder and its subfolders.

    Attributes:
        files: All files that are not hidden: those of a folder, sorted, before those of its
            subfolders.
        unread: Folders that cannot be listed, each with the reason.
        links: Links to folders that are read anyway; they are not followed.
        system: System folders, which are skipped.
    """

    files: list[str] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    system: list[str] = field(default_factory=list)

    def inputs(self, kind: InputKind) -> list[str]:
        """The files with an extension of that modality."""
        return [path for path in self.files if kind.is_file(path)]


def walk(folder: Path, root: Path | None = None) -> Walked:
    """Walk ``folder`` at any depth; no folder is read twice.

    Args:
        folder: Where to start; may itself be a link.
        root: The folder that is read as a whole, ``folder`` by default. Links to folders inside
            it are not followed, since those are read themselves.
    """
    walked, seen = Walked(), set[tuple[int, int]]()
    top = Path(os.path.realpath(root or folder))
    waiting = [os.fspath(folder)]
    while waiting:
        parent = waiting.pop()
        try:
            facts = os.stat(parent)
            known = (facts.st_dev, facts.st_ino)
            if known in seen:
                walked.links.append(parent)
                continue
            seen.add(known)
            entries = _listed(parent)
        except OSError as error:
            walked.unread.append((parent, f"the folder cannot be read: {error.strerror or error}"))
            continue
        inner = []
        for entry in entries:
            if not _is_folder(entry):
                walked.files.append(entry.path)
            elif is_system(entry.name):
                walked.system.append(entry.path)
            elif entry.is_symlink() and _is_read_anyway(entry.path, parent, top):
                walked.links.append(entry.path)
            else:
                inner.append(entry.path)
        waiting += reversed(inner)
    return walked


def holds_files(folder: Path, kind: InputKind) -> bool:
    """Whether ``folder`` or a subfolder holds such inputs, or cannot be listed; stops at the first."""
    waiting, seen = [os.fspath(folder)], set[str]()
    while waiting:
        parent = os.path.realpath(waiting.pop())
        if parent in seen:
            continue
        seen.add(parent)
        try:
            entries = _listed(parent)
        except OSError:
            return True  # it may hold some
        if any(kind.is_file(entry.name) and not _is_folder(entry) for entry in entries):
            return True
        waiting += [e.path for e in entries if _is_folder(e) and not is_system(e.name)]
    return False


def visible_folders(root: Path) -> list[Path]:
    """The folders in ``root``, sorted by name, without hidden and system folders.

    Raises:
        DataError: ``root`` cannot be listed.
    """
    return [root / e.name for e in _entries(root) if _is_folder(e) and not is_system(e.name)]


def system_folders(root: Path) -> list[Path]:
    """The system folders in ``root`` that are not hidden."""
    return [root / e.name for e in _entries(root) if _is_folder(e) and is_system(e.name)]


def loose_files(root: Path) -> list[Path]:
    """The files in ``root`` itself that are not hidden, sorted by name.

    Raises:
        DataError: ``root`` cannot be listed.
    """
    return [root / entry.name for entry in _entries(root) if not _is_folder(entry)]


def is_system(name: str) -> bool:
    """Whether the name is that of a system folder."""
    return name.lower() in _SYSTEM


def _entries(root: Path) -> Iterator[os.DirEntry[str]]:
    try:
        yield from _listed(os.fspath(root))
    except OSError as error:
        raise DataError(
            f"the folder {root} cannot be read: {error.strerror or error}",
            hint="Change its permissions, or use another folder.",
        ) from error


def _listed(folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder that are not hidden, sorted by name."""
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(found, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circular link, or no permission
        return False


def _is_read_anyway(link: str, parent: str, top: Path) -> bool:
    """Whether a link leads to one of its parent folders, or to one that is read anyway."""
    target = Path(os.path.realpath(link))
    if Path(os.path.realpath(parent)).is_relative_to(target):
        return True
    if not target.is_relative_to(top):
        return False
    between = target.relative_to(top).parts
    return not any(part.startswith(".") or is_system(part) for part in between)
