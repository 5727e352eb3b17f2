"""The benchmark cases, the libraries compared, and their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CaseMetric = Literal["seconds", "samples_per_second", "memory"]

REPEATS = 3

BATCH = 32
"""Batch size of all libraries; zoo's default."""

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
            ``{epochs}`` and ``{output}``.
        package: Required package that is not a dependency of zoo.
        target: Minimum speed-up of zoo over this library; for the metric ``memory``, the maximum
            ratio of zoo's peak memory to this library's.
        seconds: Expected duration on two slow cores.
        repeats: Default number of runs; 1 for libraries that are slow or have no target.
        samples: Multiplier for the number of samples of the case.
        warm: Whether to keep zoo's cache from the previous run in the same round.
    """

    name: str
    peer: str
    command: str
    package: str | None = None
    target: float | None = None
    seconds: float
    repeats: int = REPEATS
    samples: float = 1
    warm: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """A benchmark case.

    Attributes:
        name: Name for ``--only``.
        title: Label in the table, with the placeholders ``{samples}`` and ``{epochs}``.
        metric: Metric of the targets: total time, training throughput, or peak memory.
        data: Dataset, or ``None``.
        start: Initial weights of all libraries, or ``None``.
        samples: Number of training samples.
        epochs: Number of epochs of all libraries; zoo's L-BFGS probe has no epochs.
        zoo: zoo's command.
        peers: Libraries to compare with.
    """

    name: str
    title: str
    metric: CaseMetric
    data: str | None = None
    start: str | None = None
    samples: int = 0
    epochs: int = 1
    zoo: Library
    peers: Sequence[Library]

    @property
    def heading(self) -> str:
        """The title with the placeholders filled in."""
        return self.title.format(samples=f"{self.samples:,}", epochs=self.epochs)

    @property
    def libraries(self) -> Sequence[Library]:
        """All libraries in order; zoo runs last if it needs the cache filled by another."""
        return [*self.peers, self.zoo] if self.zoo.warm else [self.zoo, *self.peers]


def _zoo(command: str, seconds: float, warm: bool = False) -> Library:
    return Library(name="zoo", peer="zoo", command=f"-m zoo {command}", seconds=seconds, warm=warm)


def _finetune(arguments: str) -> str:
    return f"finetune {arguments} --data {{data}} --seed {{seed}} --output {{output}} --json"


def _peer(
    name: str,
    module: str,
    *,
    seconds: float,
    options: str = "",
    peer: str | None = None,
    package: str | None = None,
    target: float | None = None,
    repeats: int = REPEATS,
) -> Library:
    common = "--data {data} --weights {start} --epochs {epochs} --seed {seed}"
    return Library(
        name=name,
        peer=peer or module,
        command=f"-m benchmarks.speed.peers.{module} {common} {options}",
        package=package,
        target=target,
        seconds=seconds,
        repeats=repeats,
    )


_PROBE = _finetune("resnet18 --strategy probe --weights {start}")
_FULL = "--strategy full --epochs {epochs}"
_GENERATED = _finetune("resnet18 --strategy probe --weights {start} --image-size 96")
_TIMM = (
    "-c 'from zoo.system.tensors.torchvision_operators import declare_missing_operators as declare; declare(); "
    "import timm; timm.list_models()'"
)
"""Without the missing operators, importing torchvision, and so timm, may fail."""

CASES: Sequence[Case] = (
    Case(
        name="list",
        title="list all models",
        metric="seconds",
        zoo=_zoo("list --all", 0.5, warm=True),
        peers=(
            Library(name="timm.list_models", peer="timm", command=_TIMM, target=20, seconds=6),
        ),
    ),
    Case(
        name="probe-images",
        title="probe, ResNet-18 at 224 pixels, {samples} images, {epochs} epochs",
        metric="seconds",
        data="clothing",
        start="resnet18",
        samples=600,
        epochs=10,
        zoo=_zoo(_PROBE, 22),
        peers=(
            _peer("tutorial loop", "tutorial", options="--probe", target=15, seconds=220),
            _peer(
                "fastai, frozen", "fastai", options="--probe", package="fastai", target=25,
                seconds=400, repeats=1,
            ),
        ),
    ),
    Case(
        name="probe-again",
        title="second probe on the same images",
        metric="seconds",
        data="clothing",
        start="resnet18",
        samples=600,
        zoo=_zoo(_PROBE, 9, warm=True),
        peers=(Library(name="zoo, first", peer="zoo", command=f"-m zoo {_PROBE}", target=2, seconds=22),),
    ),
    Case(
        name="full-images",
        title="full fine-tune, ResNet-18 at 224 pixels, {samples} images",
        metric="samples_per_second",
        data="clothing",
        start="resnet18",
        samples=195,
        zoo=_zoo(_finetune(f"resnet18 --weights {{start}} {_FULL}"), 25),
        peers=(
            _peer("tutorial loop", "tutorial", target=3.3, seconds=30),
            _peer("fastai, unfrozen", "fastai", package="fastai", target=3.3, seconds=35),
            _peer("Lightning", "lightning", package="lightning", seconds=32, repeats=1),
            _peer("timm's recipe", "timm_recipe", peer="timm", seconds=30, repeats=1),
        ),
    ),
    Case(
        name="full-texts",
        title="full fine-tune, MiniLM on {samples} texts of SST-2",
        metric="samples_per_second",
        data="sst2",
        start="minilm",
        samples=320,
        zoo=_zoo(_finetune(f"path:{{start}} {_FULL}"), 15),
        peers=(
            _peer("Trainer, padded to 128", "trainer", options="--padded", target=6, seconds=60),
            _peer("Trainer, dynamic padding", "trainer", target=1.9, seconds=25),
        ),
    ),
    Case(
        name="probe-texts",
        title="probe, MiniLM on {samples} texts of SST-2, {epochs} epochs",
        metric="seconds",
        data="sst2",
        start="minilm",
        samples=2000,
        epochs=3,
        zoo=_zoo(_finetune("path:{start} --strategy probe"), 20),
        peers=(_peer("Trainer, frozen backbone", "trainer", options="--probe", target=6, seconds=85),),
    ),
    Case(
        name="memory",
        title="probe, ResNet-18 at 96 pixels, {samples} generated images",
        metric="memory",
        data="generated",
        start="resnet18",
        samples=2000,
        zoo=_zoo(_GENERATED, 15),
        peers=(
            Library(
                name="zoo, a tenth", peer="zoo", command=f"-m zoo {_GENERATED}", target=1.1,
                seconds=8, samples=0.1,
            ),
        ),
    ),
)  # fmt: skip
"""Cases for a machine without a GPU, in order of execution."""


def _gpu(name: str, title: str, start: str, samples: int, zoo: str, trainer: Library) -> Case:
    data = "sentences" if start == "bert" else "photographs"
    return Case(
        name=name, title=title, metric="samples_per_second", data=data, start=start,
        samples=samples, epochs=2, zoo=_zoo(_finetune(zoo), 90), peers=(trainer,),
    )  # fmt: skip


_TEXTS = _peer("Trainer", "trainer", seconds=90)
_RESNET, _VIT = (
    _peer(
        "Trainer",
        "trainer_images",
        peer="trainer",
        options=f"--network {name} --workers 12",
        seconds=90,
    )
    for name in ("resnet50", "vit_b_16")
)

GPU_CASES: Sequence[Case] = (
    _gpu(
        "gpu-resnet50", "full fine-tune, ResNet-50 at 224 pixels", "resnet50", 20_000,
        f"resnet50 --weights {{start}} {_FULL}", _RESNET,
    ),
    _gpu(
        "gpu-vit", "full fine-tune, ViT-B/16 at 224 pixels", "vit_b_16", 20_000,
        f"torchvision/vit_b_16 --weights {{start}} {_FULL}", _VIT,
    ),
    _gpu(
        "gpu-bert", "full fine-tune, BERT-base at 128 tokens", "bert", 40_000,
        f"path:{{start}} --max-length 128 {_FULL}", _TEXTS,
    ),
)  # fmt: skip
"""Cases for a machine with a CUDA GPU; all libraries use bfloat16."""
