"""Folders of pictures: one folder a class, with or without a folder for each split above."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from zoo.data.labels import Labels, Part, plain_label
from zoo.data.pictures import looks_like_picture
from zoo.data.samples import Paths
from zoo.errors import DataError
from zoo.files import is_utf8

SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""What the folders (and tables) of each split may be called, in any case."""


def split_folders(root: Path) -> dict[str, Path]:
    """The split folders under ``root``: those with class folders inside, by split.

    A folder ``train`` that holds pictures itself is a class of trains, not a split.

    Raises:
        DataError: Two folders stand for one split.
    """
    found: dict[str, Path] = {}
    for folder in visible_folders(root):
        split = split_of(folder.name)
        if split is None or not visible_folders(folder):
            continue
        if split in found:
            raise DataError(
                f"{root} has two folders for one split: {found[split].name}/ and {folder.name}/",
                hint="Keep one of the two.",
            )
        found[split] = folder
    return found


def split_of(name: str) -> str | None:
    """The split that a folder or table called ``name`` holds."""
    return next((s for s, names in SPLIT_NAMES.items() if name.lower() in names), None)


def read_class_folders(folder: Path) -> Part:
    """The pictures below ``folder``; each folder in it is a class, however deep its pictures lie.

    Files that are not called like pictures are passed over, and counted; dot-folders and dot-files
    are not looked at.

    Raises:
        DataError: There are no class folders, or no pictures in them; or a name is no UTF-8.
    """
    classes = visible_folders(folder)
    odd = next((path for path in classes if not is_utf8(path.name)), None)
    if odd is not None:
        raise DataError(
            f"the name of the folder {odd} is no UTF-8, and so no name of a class",
            hint="Rename it.",
        )
    relative: list[str] = []
    others: list[str] = []
    codes: list[int] = []
    for code, class_folder in enumerate(classes):
        for path in files_below(class_folder):
            (relative if looks_like_picture(path) else others).append(os.path.relpath(path, folder))
        codes += [code] * (len(relative) - len(codes))
    if not relative:
        raise _no_pictures(folder, classes)
    names = tuple(plain_label(path.name) or repr(path.name) for path in classes)
    labels = Labels(names, np.array(codes, dtype=np.int64))
    return Part(str(folder), Paths.under(folder, relative), labels, tuple(others))


def pictures_below(folder: Path) -> Iterator[str]:
    """The paths of all pictures in ``folder`` and below, sorted within each folder."""
    return (path for path in files_below(folder) if looks_like_picture(path))


def files_below(folder: Path) -> Iterator[str]:
    """The paths of all files in ``folder`` and below that are not hidden, whatever their names.

    Links to folders are followed, but not into a folder that the link lies in.
    """
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(
            name for name in folders if not _hidden(name) and not _leads_up(parent, name)
        )
        yield from (os.path.join(parent, name) for name in sorted(files) if not _hidden(name))


def _leads_up(parent: str, name: str) -> bool:
    path = os.path.join(parent, name)
    if not os.path.islink(path):
        return False
    target = os.path.realpath(path)
    return os.path.commonpath((target, os.path.realpath(parent))) == target


def visible_folders(root: Path) -> list[Path]:
    """The folders in ``root``, sorted by name, without dot-folders and ``__MACOSX``."""
    with os.scandir(root) as entries:
        names = [e.name for e in entries if not _hidden(e.name) and e.is_dir()]
    return [root / name for name in sorted(names)]


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _no_pictures(folder: Path, classes: list[Path]) -> DataError:
    layout = f"Put each picture into a folder called as its class, e.g. {folder}/cat/1.jpg."
    if classes:
        return DataError(f"no pictures in the {len(classes)} folders of {folder}", hint=layout)
    loose = sum(1 for _ in pictures_below(folder))
    if loose:
        return DataError(f"{folder} holds {loose:,} pictures, but no class folders", hint=layout)
    return DataError(f"{folder} holds no class folders and no pictures", hint=layout)
