"""Built-in demo data."""

from __future__ import annotations

from zoo.data.kind import InputKind
from zoo.data.samples import Samples, Splits, content_fingerprint
from zoo.data.samples import splits_fingerprint as fingerprint_of
from zoo.data.splitting import stratified_split
from zoo.errors import ClassesError

_VAL_SHARE = 0.2


def demo_data(kind: InputKind, *, task: str, classes: int | None = None, seed: int = 0) -> Splits:
    """The built-in data of a modality; training and validation have no input in common.

    Args:
        kind: The modality.
        task: The name of a single-label task.
        classes: Use only the first so many classes.
        seed: Determines the validation split (one in five) and generated inputs.

    Raises:
        ClassesError: ``classes`` is out of range.
    """
    demo = kind.demo
    count = len(demo.classes) if classes is None else classes
    if not 2 <= count <= len(demo.classes):
        raise ClassesError(
            f"--classes must be between 2 and {len(demo.classes)} for the demo data, got {count}",
            hint="For your own classes, use --data PATH.",
        )
    names = demo.classes[:count]
    inputs, labels, contents = demo.make(names, seed)
    everything = Samples(kind, inputs, labels, content_fingerprint(names, labels, contents))
    train, val = (everything.select(i) for i in stratified_split(labels, _VAL_SHARE, seed))
    return Splits(
        kind=kind,
        classes=names,
        train=train,
        val=val,
        test=None,
        fingerprint=fingerprint_of(names, train, val),
        source=demo.source,
        task=task,
        image_size=demo.image_size,
        epochs=demo.epochs,
        flip=demo.flip,
        min_scale=demo.min_scale,
    )
