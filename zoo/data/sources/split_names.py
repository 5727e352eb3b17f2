"""Recognise the names of splits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate", "validating", "dev", "development"),
    "test": ("test", "testing", "tst"),
}
_HELD_OUT = ("eval", "evaluation", "evaluate", "holdout", "heldout")
"""Names of the validation split, or of the test split if another name is the validation split."""

_SPLITS = {name: split for split, names in _NAMES.items() for name in names} | dict.fromkeys(
    _HELD_OUT, "val"
)
# fmt: off
_FILLERS = (
    "dataset", "set", "data", "images", "image", "imgs", "img", "photos", "pictures", "split",
    "labels", "samples", "files", "folder", "of", "seg",
)
# fmt: on
_FOLD = re.compile(r"(k?fold|cv|split|partition)[-_ ]?\d+", re.IGNORECASE)


def split_of(name: str) -> str | None:
    """The split of a name, ignoring case: ``Test``, ``train2017``, ``val_images``."""
    words = [_SPLITS.get(word) for word in _words(name)]
    return words[0] if len(words) == 1 else None


def is_fold(name: str) -> bool:
    """Whether a name is that of a cross-validation fold, such as ``fold1``."""
    return _FOLD.fullmatch(name) is not None


def by_split(names: Iterable[str]) -> dict[str, list[str]]:
    """The names of splits, by split; several if they are ambiguous.

    ``train`` itself takes precedence over ``train_images`` and the like. ``eval`` is the
    validation split, or the test split if another name is the validation split.
    """
    plain: dict[str, list[str]] = {}
    for exact in (True, False):
        found: dict[str, list[str]] = {}
        for name in names:
            split = split_of(name)
            if split is not None and (name.lower() in _SPLITS) == exact:
                found.setdefault(split, []).append(name)
        for split, group in found.items():
            plain.setdefault(split, group)
    held_out = [name for name in plain.get("val", ()) if _is_held_out(name)]
    val = [name for name in plain.get("val", ()) if name not in held_out]
    if val and held_out and "test" not in plain:
        plain |= {"val": val, "test": held_out}
    return plain


def _is_held_out(name: str) -> bool:
    return any(word in _HELD_OUT for word in _words(name))


def _words(name: str) -> list[str]:
    """The words of a name without filler words."""
    words = (_plain(word) for word in re.split(r"[\W\d_]+", name.lower()))
    return [word for word in words if word]


def _plain(word: str) -> str:
    if word in _SPLITS:
        return word
    for filler in _FILLERS:
        if word == filler or word.removesuffix(filler) in _SPLITS:
            return word.removesuffix(filler)
    return word
