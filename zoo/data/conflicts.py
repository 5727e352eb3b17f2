"""Identical inputs with different labels, which bound every metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.data.samples import Samples


def label_conflicts(splits: Sequence[Samples], classes: Sequence[str]) -> str:
    """How many inputs have conflicting labels, with an example; empty if none has.

    Args:
        splits: Training and validation, with their contents and labels.
        classes: Names of classes or target columns.
    """
    filled = [samples for samples in splits if len(samples)]
    count, pair = _conflicting(filled)
    if not count:
        return ""
    starts = np.cumsum([0, *map(len, filled)])
    shown = []
    for index in pair:
        place = int(np.searchsorted(starts, index, side="right")) - 1
        shown.append(_shown(filled[place], index - int(starts[place]), classes))
    kind = filled[0].kind
    how = f"1 {kind.noun} occurs" if count == 1 else f"{count:,} {kind.nouns} occur"
    more = ", …" if count > 1 else ""
    return f"{how} with conflicting labels: {' and '.join(shown)}{more}"


def _conflicting(splits: Sequence[Samples]) -> tuple[int, tuple[int, ...]]:
    """How many contents have several labels, and the indices of two samples of the first one."""
    known = [(s.contents, s.labels) for s in splits if s.contents is not None]
    if not known:
        return 0, ()
    labels = [np.reshape(each, (len(each), -1)) for _, each in known if each is not None]
    _, content = np.unique(np.concatenate([each for each, _ in known]), return_inverse=True)
    _, label = np.unique(np.concatenate(labels), axis=0, return_inverse=True)
    label = label.reshape(-1)
    pairs = np.unique(np.stack((content, label), axis=1), axis=0)
    several = np.bincount(pairs[:, 0]) > 1
    if not several.any():
        return 0, ()
    first = int(np.argmax(several[content]))
    other = int(np.argmax((content == content[first]) & (label != label[first])))
    return int(several.sum()), (first, other)


def _label(samples: Samples, index: int) -> tuple[float, ...]:
    assert samples.labels is not None
    return tuple(np.ravel(samples.labels[index]).tolist())


def _shown(samples: Samples, index: int, classes: Sequence[str]) -> str:
    name, label = samples.input(index), _label(samples, index)
    assert samples.labels is not None
    if samples.labels.ndim == 1:
        return f"{name} ({classes[int(label[0])]})"
    return f"{name} ({', '.join(f'{c} {v:g}' for c, v in zip(classes, label, strict=True) if v)})"
