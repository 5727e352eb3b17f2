"""Data for a first try, made on the spot, by the modality that they are of."""

from __future__ import annotations

from zoo.data.kind import InputKind
from zoo.data.samples import Samples, Splits, content_fingerprint
from zoo.data.samples import splits_fingerprint as fingerprint_of
from zoo.data.splitting import stratified_split
from zoo.errors import ClassesError

_VAL_SHARE = 0.2


def demo_data(kind: InputKind, *, task: str, classes: int | None = None, seed: int = 0) -> Splits:
    """The embedded data of a modality; no input of the validation split is in the training one.

    Args:
        kind: The modality.
        task: The name of one whose samples have one class each.
        classes: Take only so many, the first.
        seed: Decides what validates (one in five), and what is made at random.

    Raises:
        ClassesError: ``classes`` is not between 2 and what there is.
    """
    demo = kind.demo
    count = len(demo.classes) if classes is None else classes
    if not 2 <= count <= len(demo.classes):
        raise ClassesError(
            f"--classes {count} was given; the demo data have 2 to {len(demo.classes)} classes",
            hint="For your own classes, give --data PATH.",
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
