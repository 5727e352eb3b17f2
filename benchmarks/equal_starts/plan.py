"""What is compared: datasets, methods and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EPOCHS = (1, 3, 5, 10)
"""Budgets in epochs. A stage that trains the head alone before them is not counted."""

TIME = "time"
"""The budget of a time: as many epochs as fit, estimated from the runs of one and three epochs."""

SECONDS = 180.0

ALL = 0
"""Stands for all training samples of each class."""

SHOTS = (5, 10, 20, 60, ALL)
"""Training samples per class."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to train from the pretrained weights.

    Attributes:
        name: For ``--only``, and in the table.
        module: Module of this package that trains it, on images and on texts; ``None`` if it cannot.
        function: Name of the function there.
        package: Required package that is not a dependency of zoo.
        epochs: Whether it has a number of epochs.
    """

    name: str
    images: str | None = None
    texts: str | None = None
    package: str | None = None
    epochs: bool = True

    def function(self, dataset: str) -> str | None:
        """``module:function`` for a dataset; ``None`` if there is none."""
        return {"images": self.images, "texts": self.texts}[dataset]


OWN = "zoo"

METHODS: Sequence[Method] = (
    Method(name=OWN, images="own:two_stage", texts="own:two_stage"),
    Method(name="zoo probe", images="own:probe", texts="own:probe", epochs=False),
    Method(name="fastai", images="images:fastai", package="fastai"),
    Method(name="trainer", images="images:trainer", texts="texts:trainer"),
    Method(name="trainer mean pooling", texts="texts:trainer_mean"),
    Method(name="timm", images="images:timm_recipe"),
    Method(name="two-stage loop", images="images:two_stage_loop", texts="texts:two_stage_loop"),
    Method(
        name="logistic regression", images="own:regression", texts="own:regression", epochs=False
    ),
    Method(name="autogluon", images="autogluon", texts="autogluon"),
)


@dataclass(frozen=True)
class Cell:
    """A run of a method.

    Attributes:
        dataset: ``images`` or ``texts``.
        method: Its name.
        shots: Training samples per class, or :data:`ALL`.
        budget: Number of epochs or :data:`TIME`; empty for a method without epochs.
        seed: Chooses the training samples too.
    """

    dataset: str
    method: str
    shots: int
    budget: str
    seed: int
