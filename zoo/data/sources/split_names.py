"""What the splits of data are called, as folders, tables, cells of a column and on the Hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate", "validating", "dev", "development"),
    "test": ("test", "testing", "tst"),
}
_HELD_OUT = ("eval", "evaluation", "evaluate", "holdout", "heldout")
"""Called so, a split validates where no other does, and else is the test split."""

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
    """The split that ``name`` stands for, in any case: ``Test``, ``train2017``, ``val_images``."""
    words = [_SPLITS.get(word) for word in _words(name)]
    return words[0] if len(words) == 1 else None


def is_fold(name: str) -> bool:
    """Whether ``name`` is that of one of several equal parts, as ``fold1``."""
    return _FOLD.fullmatch(name) is not None


def by_split(names: Iterable[str]) -> dict[str, list[str]]:
    """The names that stand for splits, by split; several where it is left open which is meant.

    ``train`` itself comes before ``train_images`` and the like, which are then left out; and
    ``eval`` is the validation split unless another name is, or is left to be the test split.
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
    own = [name for name in plain.get("val", ()) if name not in held_out]
    if own and held_out and "test" not in plain:
        plain |= {"val": own, "test": held_out}
    return plain


def _is_held_out(name: str) -> bool:
    return any(word in _HELD_OUT for word in _words(name))


def _words(name: str) -> list[str]:
    """The words of a name without those that say nothing of its split."""
    words = (_plain(word) for word in re.split(r"[\W\d_]+", name.lower()))
    return [word for word in words if word]


def _plain(word: str) -> str:
    if word in _SPLITS:
        return word
    for filler in _FILLERS:
        if word == filler or word.removesuffix(filler) in _SPLITS:
            return word.removesuffix(filler)
    return word
