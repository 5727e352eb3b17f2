"""What is measured, against whom, and the bar that each piece of work has to reach: all as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CaseMetric = Literal["seconds", "samples_per_second", "memory"]

REPEATS = 3

BATCH = 32
"""Samples a step, for every peer as for zoo by default."""

MEMORY, ACCURACY = 1.1, -0.01
"""Of every pair: zoo's peak memory is at most so much of the peer's, and its accuracy, the mean
over the seeds that both have, at most a point lower."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Somebody who does a piece of work, as a process of its own.

    Attributes:
        name: In the table.
        peer: What ``--peers`` calls it.
        command: What Python is given; ``{data}``, ``{start}``, ``{seed}``, ``{epochs}`` and
            ``{output}`` are filled in.
        package: What it needs beside zoo's own dependencies.
        bar: Of zoo compared with it, in the case's metric: how many times as fast, or for memory
            at most how many times as much.
        seconds: That it takes about, on two slow cores.
        repeats: Unless ``--repeats`` says otherwise; once where it takes very long or has no bar.
        samples: Factor on those of the case.
        warm: Whether it finds zoo's cache as the one before it in the same repeat left it.
    """

    name: str
    peer: str
    command: str
    package: str | None = None
    bar: float | None = None
    seconds: float
    repeats: int = REPEATS
    samples: float = 1
    warm: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """A piece of work.

    Attributes:
        name: For ``--only``.
        title: In the table, with ``{samples}`` and ``{epochs}``.
        metric: What the bars are about: whole processes, training, or peak memory.
        data: Kind of the data, or ``None`` for none.
        start: What everybody starts from, or ``None``.
        samples: For training.
        epochs: Of everybody, unless zoo solves for a head.
        zoo: zoo's command.
        peers: Whom it is compared with.
    """

    name: str
    title: str
    metric: CaseMetric
    data: str | None = None
    start: str | None = None
    samples: int = 0
    epochs: int = 1
    zoo: Contestant
    peers: Sequence[Contestant]

    @property
    def heading(self) -> str:
        """The title, filled in."""
        return self.title.format(samples=f"{self.samples:,}", epochs=self.epochs)

    @property
    def contestants(self) -> Sequence[Contestant]:
        """All of them, in their turns: who wants a warm cache after who fills it."""
        return [*self.peers, self.zoo] if self.zoo.warm else [self.zoo, *self.peers]


def _zoo(command: str, seconds: float, warm: bool = False) -> Contestant:
    return Contestant(
        name="zoo", peer="zoo", command=f"-m zoo {command}", seconds=seconds, warm=warm
    )


def _finetune(words: str) -> str:
    return f"finetune {words} --data {{data}} --seed {{seed}} --output {{output}} --json"


def _peer(
    name: str,
    module: str,
    *,
    seconds: float,
    options: str = "",
    peer: str | None = None,
    package: str | None = None,
    bar: float | None = None,
    repeats: int = REPEATS,
) -> Contestant:
    common = "--data {data} --weights {start} --epochs {epochs} --seed {seed}"
    return Contestant(
        name=name,
        peer=peer or module,
        command=f"-m benchmarks.speed.peers.{module} {common} {options}",
        package=package,
        bar=bar,
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
"""With the helper, because torchvision, and so timm, may not import without it."""

CASES: Sequence[Case] = (
    Case(
        name="list",
        title="list all models",
        metric="seconds",
        zoo=_zoo("list --all", 0.5, warm=True),
        peers=(
            Contestant(name="timm.list_models", peer="timm", command=_TIMM, bar=20, seconds=6),
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
            _peer("tutorial loop", "tutorial", options="--probe", bar=15, seconds=220),
            _peer(
                "fastai, frozen", "fastai", options="--probe", package="fastai", bar=25,
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
        peers=(Contestant(name="zoo, first", peer="zoo", command=f"-m zoo {_PROBE}", bar=2, seconds=22),),
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
            _peer("tutorial loop", "tutorial", bar=3.3, seconds=30),
            _peer("fastai, unfrozen", "fastai", package="fastai", bar=3.3, seconds=35),
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
            _peer("Trainer, padded to 128", "trainer", options="--padded", bar=6, seconds=60),
            _peer("Trainer, dynamic padding", "trainer", bar=1.9, seconds=25),
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
        peers=(_peer("Trainer, frozen backbone", "trainer", options="--probe", bar=6, seconds=85),),
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
            Contestant(
                name="zoo, a tenth", peer="zoo", command=f"-m zoo {_GENERATED}", bar=1.1,
                seconds=8, samples=0.1,
            ),
        ),
    ),
)  # fmt: skip
"""For a machine without a GPU, in the order in which they are measured."""


def _gpu(name: str, title: str, start: str, samples: int, zoo: str, trainer: Contestant) -> Case:
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
"""For a machine with a CUDA card, where bfloat16 is on for everybody."""
