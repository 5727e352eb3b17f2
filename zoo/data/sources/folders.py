"""Read class folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from zoo.data.kind import InputKind
from zoo.data.labels import Labels, Part, plain_label
from zoo.data.reports import Findings
from zoo.data.sequences import Paths
from zoo.data.sources.walk import (
    Walked,
    holds_files,
    loose_files,
    system_folders,
    visible_folders,
    walk,
)
from zoo.errors import DataError
from zoo.system.files import is_utf8


def read_class_folders(folder: Path, kind: InputKind, findings: Findings) -> Part:
    """Read a folder of class folders; files may be nested at any depth.

    Files without a known extension are ignored and counted; hidden files and folders are skipped.

    Args:
        folder: Holds the class folders.
        kind: The modality of the files.
        findings: Collects folders that cannot be listed, and notes about what is left out.

    Raises:
        DataError: There are no class folders or no inputs in them, a class name is not valid
            UTF-8, or two class folders are the same folder.
    """
    classes = visible_folders(folder)
    invalid = next((path for path in classes if not is_utf8(path.name)), None)
    if invalid is not None:
        raise DataError(
            f"the name of the class folder {invalid} is not valid UTF-8",
            hint="Rename it.",
        )
    refuse_same_folders(folder, classes)
    walks = [walk(path, folder) for path in classes]
    relative = [os.path.relpath(path, folder) for each in walks for path in each.inputs(kind)]
    for path, reason in (found for each in walks for found in each.unread):
        findings.add(path, reason)
    others = [os.path.relpath(p, folder) for each in walks for p in _others(each.files, kind)]
    loose = loose_files(folder)
    others += [path.name for path in _others(loose, kind)]
    if not relative:
        findings.check()
        raise _nothing(folder, kind, classes)
    note_loose(folder, kind, loose, findings)
    note_unfollowed(walks, findings, folder)
    _note_same_folders_inside(classes, kind, walks, findings)
    codes = np.repeat(np.arange(len(classes)), [len(each.inputs(kind)) for each in walks])
    names = tuple(plain_label(path.name) or repr(path.name) for path in classes)
    _note_merged(classes, names, findings)
    labels = Labels(names, codes.astype(np.int64), exact=True)
    return Part(str(folder), Paths.under(folder, relative), labels, tuple(others))


def files_below(folder: Path, kind: InputKind, findings: Findings) -> list[str]:
    """The paths of all inputs in ``folder`` and its subfolders, sorted within each folder."""
    walked = walk(folder)
    for path, reason in walked.unread:
        findings.add(path, reason)
    note_unfollowed([walked], findings)
    if others := [str(path) for path in _others(walked.files, kind)]:
        findings.note(f"ignored {_counted(others, 'file')} without an extension of {kind.nouns}")
    return walked.inputs(kind)


def refuse_same_folders(root: Path, folders: Sequence[Path]) -> None:
    """Raise a :class:`DataError` if two names link to the same folder."""
    seen: dict[str, str] = {}
    for path in folders:
        real = os.path.realpath(path)
        if real in seen:
            raise DataError(
                f"{seen[real]}/ and {path.name}/ in {root} are links to the same folder",
                hint="Remove one of them.",
            )
        seen[real] = path.name


def note_loose(folder: Path, kind: InputKind, loose: Sequence[Path], findings: Findings) -> None:
    """Note inputs outside the folders that are read."""
    names = [path.name for path in loose if kind.is_file(path)]
    if names:
        counted = _counted(names, kind.noun, kind.nouns)
        findings.note(f"ignored {counted} outside the folders of {folder}")


def note_unfollowed(walks: Iterable[Walked], findings: Findings, root: Path | None = None) -> None:
    """Note links that are not followed, and system folders."""
    every = list(walks)
    links = [path for each in every for path in each.links]
    system = [path for each in every for path in each.system]
    system += [] if root is None else [str(path) for path in system_folders(root)]
    if links:
        findings.note(f"ignored {_counted(links, 'link')} to folders that are read anyway")
    if system:
        findings.note(f"ignored {_counted(system, 'system folder')}")


def _counted(names: Sequence[str], one: str, several: str = "") -> str:
    if len(names) == 1:
        return f"1 {one} ({names[0]})"
    return f"{len(names):,} {several or f'{one}s'} ({names[0]}, …)"


def _note_merged(classes: Sequence[Path], names: Sequence[str], findings: Findings) -> None:
    first: dict[str, str] = {}
    for path, name in zip(classes, names, strict=True):
        other = first.setdefault(name, path.name)
        if other != path.name:
            findings.note(f"the folders {other!r} and {path.name!r} are the same class, {name!r}")


def _note_same_folders_inside(
    classes: Sequence[Path], kind: InputKind, walks: Sequence[Walked], findings: Findings
) -> None:
    """Note that every class folder holds the same subfolders and nothing else.

    The subfolders may be years or cameras, or the outer folders may be, and the subfolders the
    classes.
    """
    inside = [
        {Path(os.path.relpath(file, path)).parts[:-1][:1] for file in each.inputs(kind)}
        for path, each in zip(classes, walks, strict=True)
    ]
    same = len(inside) > 1 and all(names == inside[0] for names in inside)
    if same and len(inside[0]) > 1 and () not in inside[0]:
        names = ", ".join(sorted(first for (first,) in inside[0])[:4])
        outer = ", ".join(path.name for path in classes[:4])
        findings.note(f"using {outer} as classes; each of them has the subfolders {names}")


def _others(files: Iterable[str | Path], kind: InputKind) -> list[Path]:
    return [Path(path) for path in files if not kind.is_file(path)]


def _hold(classes: Iterable[Path], kind: InputKind) -> bool:
    """Whether some of the folders hold files of a kind."""
    return kind.in_files and any(holds_files(path, kind) for path in classes)


def _nothing(folder: Path, kind: InputKind, classes: list[Path]) -> DataError:
    layout = f"Put each {kind.noun} in a folder named after its class: {folder}/CLASS/FILE."
    if classes:
        other = next((each for each in kind.others if _hold(classes, each)), None)
        contents = "" if other is None else f", which hold {other.nouns}"
        if other is not None:
            layout = f"Use a backbone for {other.nouns}: zoo list --modality {other.name}"
        return DataError(
            f"no {kind.nouns} in the {len(classes)} folders of {folder}{contents}", hint=layout
        )
    loose = sum(map(kind.is_file, loose_files(folder)))
    if loose:
        return DataError(
            f"{folder} holds {loose:,} {kind.nouns}, but no class folders", hint=layout
        )
    return DataError(f"{folder} holds no class folders and no {kind.nouns}", hint=layout)
