"""Tell split folders from class folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from zoo.data.kind import InputKind
from zoo.data.labels import Part
from zoo.data.reports import Findings
from zoo.data.sequences import Paths
from zoo.data.sources.folders import note_loose, refuse_same_folders
from zoo.data.sources.split_names import by_split, is_fold, split_of
from zoo.data.sources.tables import looks_like_table
from zoo.data.sources.walk import holds_files, loose_files, visible_folders
from zoo.errors import DataError

_LAYOUT = "Use class folders in each split, e.g. train/cat/1.jpg, or a table train.csv of paths."


def split_folders(root: Path, kind: InputKind, findings: Findings) -> dict[str, Path]:
    """The split folders in ``root``, by split: those with class folders or a table.

    A folder ``train`` of images beside other folders of images is a class of trains. Folders that
    are neither a class nor a split are noted in ``findings``.

    Raises:
        DataError: Splits and classes cannot be told apart, two folders have the same split, or a
            split has no labels.
    """
    every = visible_folders(root)
    folders = [path for path in every if holds_files(path, kind)]
    by_name = {path.name: path for path in folders}
    named = {split: [by_name[n] for n in names] for split, names in by_split(by_name).items()}
    labelled = [path for group in named.values() for path in group if _has_labels(path)]
    if not labelled:
        return {}
    chosen = {split: _only(root, group) for split, group in named.items()}
    refuse_same_folders(root, list(chosen.values()))
    rest = [path for path in folders if path not in chosen.values()]
    if rest and len(chosen) == 1:
        raise _ambiguous(root, labelled[0], rest)
    usable = {split: path for split, path in chosen.items() if path in labelled}
    for split in chosen.keys() - usable.keys():
        if split != "test":
            raise DataError(
                f"{chosen[split]} holds {kind.nouns}, but no class folders", hint=_LAYOUT
            )
        findings.note(f"ignored {chosen[split].name}/: it holds {kind.nouns} without class folders")
    _note_guesses(usable, findings)
    _note_rest(root, kind, [path for path in every if path not in chosen.values()], findings)
    return usable


def refuse_splits_as_classes(root: Path, kind: InputKind) -> None:
    """Raise a :class:`DataError` if the class folders look like splits or folds."""
    names = [path.name for path in visible_folders(root) if holds_files(path, kind)]
    splits = by_split(names)
    if len(splits) > 1 and "train" in splits:
        listed = ", ".join(f"{name}/" for group in splits.values() for name in group)
        raise DataError(
            f"{listed} in {root} look like splits, but hold {kind.nouns} without class folders",
            hint=_LAYOUT,
        )
    if len(names) > 1 and all(map(is_fold, names)):
        raise DataError(
            f"the folders of {root} look like cross-validation folds, not classes: "
            f"{', '.join(names[:8])}",
            hint="Use one of them, or merge the folds into train/ and val/.",
        )


def has_labels_in_table(folder: Path, kind: InputKind) -> bool:
    """Whether the labels are in a table rather than in class folders."""
    tables = [path for path in loose_files(folder) if looks_like_table(path)]
    if not tables:
        return False
    if any(split_of(path.stem) == "train" for path in tables):
        return True
    inner = [path.name for path in visible_folders(folder) if holds_files(path, kind)]
    return len(inner) < 2 or len(by_split(inner)) > 1


def with_files_found(part: Part, kind: InputKind, split: str, findings: Findings) -> Part:
    """The rows of a table with their files resolved in the folder beside it.

    A ``train.csv`` beside ``train/`` often lists bare file names. Nothing changes if the first
    file is beside the table, or in several folders.
    """
    inputs = part.inputs
    if not isinstance(inputs, Paths) or not len(inputs) or os.path.exists(inputs[0]):
        return part
    root = Path(inputs.folder)
    candidates = [replace(inputs, folder=str(path)) for path in visible_folders(root)]
    existing = [each for each in candidates if os.path.exists(each[0])]
    same_split = [each for each in existing if split and split_of(Path(each.folder).name) == split]
    chosen = same_split if len(existing) > 1 else existing
    if len(chosen) != 1:
        return part
    findings.note(f"reading the {kind.nouns} of {part.where} from {Path(chosen[0].folder).name}/")
    return replace(part, inputs=chosen[0])


def _has_labels(folder: Path) -> bool:
    return bool(visible_folders(folder)) or any(map(looks_like_table, loose_files(folder)))


def _only(root: Path, group: Sequence[Path]) -> Path:
    if len(group) > 1:
        raise DataError(
            f"{root} has two folders for the same split: {group[0].name}/ and {group[1].name}/",
            hint="Keep one of them.",
        )
    return group[0]


def _ambiguous(root: Path, split: Path, rest: Sequence[Path]) -> DataError:
    others = ", ".join(f"{path.name}/" for path in rest[:8])
    return DataError(
        f"{split.name}/ in {root} could be a split or a class: it holds folders, but is beside "
        f"{others}",
        hint=f"If it is a split, use --data {split}, or name another folder val or test. If it is "
        f"a class, move its files directly into {split.name}/.",
    )


def _note_guesses(chosen: Mapping[str, Path], findings: Findings) -> None:
    """Note how unusual split names were interpreted."""
    for split, path in chosen.items():
        if path.name.lower() not in (split, "training", "valid", "validation", "dev", "testing"):
            findings.note(f"using {path.name}/ as the {split} split")


def _note_rest(root: Path, kind: InputKind, rest: Sequence[Path], findings: Findings) -> None:
    """Note what is beside the split folders."""
    files = loose_files(root)
    note_loose(root, kind, files, findings)
    names = [f"{path.name}/" for path in rest]
    names += [path.name for path in files if looks_like_table(path)]
    if names:
        more = ", …" if len(names) > 4 else ""
        findings.note(f"ignored beside the splits in {root}: {', '.join(names[:4])}{more}")
