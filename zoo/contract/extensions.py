"""Metrics, losses, optimisers, augmentations and exporters of plugins. No torch.

Each hook returns a mapping from names to these. Instead of a function, its ``module:attribute``
may be given, which is imported when it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from zoo.errors import ContractError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Function: TypeAlias = "str | Callable[..., Any]"
"""A function, or where it is: ``module:attribute``."""


def imported(function: Function) -> Callable[..., Any]:
    """The function, imported if it is given as ``module:attribute``."""
    if not isinstance(function, str):
        return function
    module, _, attribute = function.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found


# -- metrics -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class MetricInput:
    """Predictions and labels of ``N`` samples, as a metric gets them.

    Attributes:
        predicted: ``(N,)`` class indices, ``(N, classes)`` booleans, or ``(N, targets)`` values in
            the user's units.
        outputs: ``(N, outputs)``: probabilities, or values.
        labels: ``(N,)`` class indices, ``(N, classes)`` of 0 and 1, or ``(N, targets)`` values.
        classes: Class names or target columns.
        argument: The number after the colon in ``--metric name:number``, or its default.
        remarks: The messages passed to :meth:`remark`.
    """

    predicted: NDArray[Any]
    outputs: NDArray[Any]
    labels: NDArray[Any]
    classes: Sequence[str]
    argument: float | None = None
    remarks: list[str] = field(default_factory=list)

    def remark(self, text: str) -> None:
        """Add a note for the user: what the value leaves out, or why it is undefined (NaN)."""
        if text not in self.remarks:
            self.remarks.append(text)


@dataclass(frozen=True, kw_only=True)
class Argument:
    """The number in ``--metric name:number``.

    Attributes:
        default: Its value in ``--metric name``.
        at_least: The smallest valid value.
        at_most: The largest valid value.
        whole: Whether it must be an integer.
    """

    default: float
    at_least: float
    at_most: float
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric that can select the best epoch.

    Attributes:
        title: Its name in tables and reports; ``{}`` stands for the argument.
        measures: By task: a function from :class:`MetricInput` to the value, NaN if it is
            undefined. Tasks are ``single-label``, ``multi-label``, ``regression``, or a plugin's.
        higher: Whether higher is better.
        meaning: A short explanation for the report.
        share: Whether it is a proportion of samples, which has a confidence interval.
        argument: The number in ``name:number``, if the metric has one.
        always: Whether it is computed every epoch, rather than only as the selection metric. Only
            for zoo's own metrics.
        leads: Whether it is the main metric of runs selected by loss. Only for zoo's own metrics.
        defined: Whether it is defined whatever the labels; any other is tried before training.
            Only for zoo's own metrics.
    """

    title: str
    measures: Mapping[str, Function]
    higher: bool = True
    meaning: str = ""
    share: bool = False
    argument: Argument | None = None
    always: bool = False
    leads: bool = False
    defined: bool = False


# -- losses ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class LossSpec:
    """A training loss.

    Attributes:
        formula: From logits ``(B, outputs)`` of float32, targets, class weights ``(outputs,)`` or
            ``None``, and the supported options by keyword, to one loss per sample, ``(B,)``.
            Targets are ``(B,)`` class indices or, with MixUp, class proportions ``(B, classes)``;
            for multi-label ``(B, classes)`` of 0 to 1; for regression standardised values.
        tasks: Names of the supported tasks.
        options: Which of ``class_weights``, ``focal`` and ``label_smoothing`` it supports; the
            others are rejected. The last two are keywords of the formula.
    """

    formula: Function
    tasks: tuple[str, ...]
    options: tuple[str, ...] = ()


# -- optimisers --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """An optimiser of training in steps.

    Attributes:
        make: From parameter groups, and ``options`` by keyword, to a ``torch.optim.Optimizer``. Each
            group has ``params``, ``lr`` and ``weight_decay``; ``lr`` is set before every step.
        options: Keywords of ``make``.
        fused: Whether ``make`` takes ``fused=True``, as torch's AdamW does.
    """

    make: Function
    options: Mapping[str, Any] = field(default_factory=dict)
    fused: bool = False


# -- augmentations -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class AugmentationSpec:
    """An augmentation of training inputs.

    Attributes:
        apply: From an input to an augmented one. For images, from a cropped and resized Pillow
            image to one of the same size. The keyword ``flip`` says whether a mirrored image
            keeps its label. torch, NumPy and ``random`` are seeded for each sample and epoch.
        modality: The modality of its inputs.
        apply_batch: The same augmentation of a whole batch, on its device: for images, from
            ``(B, 3, size, size)`` of uint8 to another such tensor. Keywords are ``flip`` and
            ``draw``: ``draw(n)`` returns the next uniform random numbers of each input, a NumPy array
            ``(B, n)``. Without it, inputs are augmented in worker processes.
    """

    apply: Function
    modality: str = "image"
    apply_batch: Function = ""


# -- exporters ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ExporterSpec:
    """A format of ``zoo export``.

    Attributes:
        write: ``write(run, backbone, inputs, folder)`` writes the exported files to the folder.
        run: ``run(folder)`` loads the folder as a user would, and returns a function from a batch
            of tensors by name to logits ``(B, outputs)``, which are compared with the run's.
        not_compared: Instead of ``run``: why the files cannot be loaded here, such as ``they are
            compiled for another processor``.
        model: Name of the main file.
        usage: Python lines for the README that compute ``outputs``. ``{tensors}`` and ``{keywords}``
            stand for the inputs, as ``"name": name`` and ``name=name``.
        requires: Modules that must be importable.
        install: The command that installs them.
        several_outputs: Whether ``backbone`` may return several outputs by name, as with ``--reject``;
            ``run`` must return them likewise then.
    """

    write: Function
    model: str
    run: Function = ""
    not_compared: str = ""
    usage: str = ""
    requires: tuple[str, ...] = ()
    install: str = ""
    several_outputs: bool = False

    def __post_init__(self) -> None:
        if bool(self.run) == bool(self.not_compared):
            raise ContractError(
                f"the exporter of {self.model!r} must have either 'run' or 'not_compared'",
                hint="See zoo_exporters in docs/plugins.md.",
            )
