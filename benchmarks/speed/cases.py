"""The benchmark cases, the libraries compared, and their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.machine import AMX, AVX2, AVX512_BF16

Metric = Literal["seconds", "samples_per_second", "steady"]
"""Of a comparison: total time of the process, training throughput of all epochs, or of the last."""

Target = float | Mapping[str, float]
"""Minimum speed-up of zoo; one for every machine, or by kind of machine."""

REPEATS = 3

BATCH = 32
"""Batch size of all libraries on a CPU; zoo's default."""

MEMORY, ACCURACY = 1.1, -0.01
"""Targets of every comparison: the maximum ratio of zoo's peak memory to the other library's, and the
minimum difference in accuracy (mean over common seeds)."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library that runs a case, in a process of its own.

    Attributes:
        name: Label in the table.
        peer: Name for ``--peers``.
        command: Arguments of Python, with the placeholders ``{data}``, ``{start}``, ``{seed}``,
            ``{epochs}``, ``{output}``, ``{batch}`` (zoo's batch size in this case), ``{device}`` and
            ``{size}`` (pixels or tokens).
        package: Required package that is not a dependency of zoo.
        seconds: Expected duration on two slow cores; with a GPU, of all but the samples.
        speed: With a GPU: expected samples per second, of which the duration of the samples follows.
        repeats: Default number of runs; 1 for libraries that are slow or have no target.
        samples: Multiplier for the number of samples of the case.
        warm: Whether to keep zoo's cache from the previous run in the same round.
        epochs: Number of epochs that are timed instead of all; the total time is scaled to all, and
            there is no accuracy.
        part: Whether it trains on a part of the data only, so that its total time is not comparable.
        optional: With a GPU: whether it is measured only if time remains after all that have targets.
    """

    name: str
    peer: str
    command: str
    package: str | None = None
    seconds: float
    speed: float = 0
    repeats: int = REPEATS
    samples: float = 1
    warm: bool = False
    epochs: int | None = None
    part: bool = False
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A library, one of zoo's runs that it is compared with, and the targets.

    Attributes:
        peer: Name of the library.
        own: Name of zoo's run.
        targets: Minimum speed-up by metric; ``None`` to show it without a target.
        memory: Whether peak memory is compared.
    """

    peer: str
    own: str = "zoo"
    targets: Mapping[Metric, Target | None] = field(default_factory=dict)
    memory: bool = True


@dataclass(frozen=True, kw_only=True)
class Case:
    """A benchmark case.

    Attributes:
        name: Name for ``--only``.
        title: Label in the table, with the placeholders ``{samples}`` and ``{epochs}``.
        throughput: Whether training throughput is shown: all libraries take the same steps.
        data: Dataset, or ``None``.
        start: Initial weights of all libraries, or ``None``.
        samples: Number of training samples.
        epochs: Number of epochs of all libraries; zoo's L-BFGS probe has no epochs.
        libraries: In order of execution, zoo's among them.
        comparisons: Which are compared.
    """

    name: str
    title: str
    throughput: bool = False
    data: str | None = None
    start: str | None = None
    samples: int = 0
    epochs: int = 1
    libraries: Sequence[Library]
    comparisons: Sequence[Comparison] = ()

    @property
    def heading(self) -> str:
        """The title with the placeholders filled in."""
        return self.title.format(samples=f"{self.samples:,}", epochs=self.epochs)


def own(
    command: str, seconds: float, name: str = "zoo", *, warm: bool = False, repeats: int = REPEATS,
    samples: float = 1, speed: float = 0, optional: bool = False,
) -> Library:  # fmt: skip
    """A run of zoo."""
    return Library(
        name=name, peer="zoo", command=f"-m zoo {command}", seconds=seconds, warm=warm,
        repeats=repeats, samples=samples, speed=speed, optional=optional,
    )  # fmt: skip


def finetune(arguments: str) -> str:
    """zoo's command for a fine-tune."""
    return f"finetune {arguments} --data {{data}} --seed {{seed}} --output {{output}} --json"


def peer(
    name: str, module: str, *, seconds: float, options: str = "", peer: str | None = None,
    package: str | None = None, repeats: int = REPEATS, speed: float = 0, epochs: int | None = None,
    part: bool = False, optional: bool = False,
) -> Library:  # fmt: skip
    """A training script of :mod:`benchmarks.speed.peers`."""
    common = "--data {data} --weights {start} --epochs {epochs} --seed {seed}"
    return Library(
        name=name, peer=peer or module, command=f"-m benchmarks.speed.peers.{module} {common} {options}",
        package=package, seconds=seconds, repeats=repeats, speed=speed, epochs=epochs, part=part,
        optional=optional,
    )  # fmt: skip


_PROBE = finetune("resnet18 --strategy probe --weights {start}")
_FULL = "--strategy full --epochs {epochs}"
_GENERATED = finetune("resnet18 --strategy probe --weights {start} --image-size 96")
_TIMM = (
    "-c 'from zoo.system.tensors.torchvision_operators import declare_missing_operators as declare; declare(); "
    "import timm; timm.list_models()'"
)
"""Without the missing operators, importing torchvision, and so timm, may fail."""

CASES: Sequence[Case] = (
    Case(
        name="list",
        title="list all models",
        libraries=(
            own("list --all", 0.5, warm=True),
            Library(name="timm.list_models", peer="timm", command=_TIMM, seconds=6),
        ),
        comparisons=(Comparison(peer="timm.list_models", targets={"seconds": 20}),),
    ),
    Case(
        name="probe-images",
        title="probe, ResNet-18 at 224 pixels, {samples} images, {epochs} epochs",
        data="clothing",
        start="resnet18",
        samples=600,
        epochs=10,
        libraries=(
            own(_PROBE, 44, repeats=2),
            own(_PROBE, 13, "zoo, second time", warm=True, repeats=2),
            peer("tutorial loop", "tutorial", options="--probe", seconds=460, repeats=1),
            peer(
                "fastai, frozen", "fastai", options="--probe", package="fastai", seconds=100,
                repeats=1, epochs=1,
            ),
        ),
        comparisons=(
            Comparison(peer="tutorial loop", targets={"seconds": 14}),
            Comparison(own="zoo, second time", peer="tutorial loop", targets={"seconds": 50}),
            Comparison(peer="fastai, frozen", targets={"seconds": None}),
        ),
    ),
    Case(
        name="full-images",
        title="full fine-tune, ResNet-18 at 224 pixels, {samples} images",
        throughput=True,
        data="clothing",
        start="resnet18",
        samples=195,
        libraries=(
            own(finetune(f"resnet18 --weights {{start}} {_FULL}"), 49),
            peer("tutorial loop", "tutorial", seconds=49),
            peer("fastai, unfrozen", "fastai", package="fastai", seconds=58, repeats=1),
            peer(
                "Lightning", "tutorial", peer="lightning", options="--lightning",
                package="lightning", seconds=63, repeats=1,
            ),
            peer("timm's recipe", "timm_recipe", peer="timm", seconds=52, repeats=1),
        ),
        comparisons=(
            Comparison(
                peer="tutorial loop",
                targets={"samples_per_second": {AMX: 2.5, AVX512_BF16: 2.5, AVX2: 1.3}},
            ),
            Comparison(peer="fastai, unfrozen", targets={"samples_per_second": None}),
            Comparison(peer="Lightning", targets={"samples_per_second": None}),
            Comparison(peer="timm's recipe", targets={"samples_per_second": None}),
        ),
    ),
    Case(
        name="full-texts",
        title="full fine-tune, MiniLM on {samples} texts of SST-2",
        throughput=True,
        data="sst2",
        start="minilm",
        samples=320,
        libraries=(
            own(finetune(f"path:{{start}} {_FULL}"), 26),
            peer("Trainer, mean pooling", "trainer", options="--pooling mean", seconds=31),
            own(
                finetune(f"path:{{start}} --pooling pooler {_FULL}"), 26, "zoo, pooler", repeats=1
            ),
            peer("Trainer, pooler (its default)", "trainer", seconds=31, repeats=1),
        ),
        comparisons=(
            Comparison(peer="Trainer, mean pooling", targets={"samples_per_second": 2.5}),
            Comparison(
                own="zoo, pooler", peer="Trainer, pooler (its default)",
                targets={"samples_per_second": 2.5},
            ),
        ),
    ),
    Case(
        name="probe-texts",
        title="probe, MiniLM on {samples} texts of SST-2, {epochs} epochs",
        data="sst2",
        start="minilm",
        samples=2000,
        epochs=3,
        libraries=(
            own(finetune("path:{start} --strategy probe"), 36),
            peer(
                "Trainer, frozen, mean pooling", "trainer", options="--probe --pooling mean",
                seconds=152, repeats=1,
            ),
        ),
        comparisons=(
            Comparison(peer="Trainer, frozen, mean pooling", targets={"seconds": None}),
        ),
    ),
    Case(
        name="memory",
        title="probe, ResNet-18 at 96 pixels, {samples} generated images",
        data="generated",
        start="resnet18",
        samples=2000,
        libraries=(
            own(_GENERATED, 32, repeats=1),
            own(_GENERATED, 13, "zoo, a tenth", samples=0.1, repeats=1),
        ),
        comparisons=(Comparison(peer="zoo, a tenth"),),
    ),
)  # fmt: skip
"""Cases for a machine without a GPU, in order of execution."""
