"""The benchmark cases for a machine with a CUDA GPU; all libraries use bfloat16.

Expected durations are guesses, from which it follows what is measured in the given minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.speed.cases import Case, Comparison, Library, finetune, own, peer

START = 12
"""Expected seconds of importing a library and building a network."""

IMAGES = 20_000
"""Number of training images, where the minutes suffice."""

TRAINER, EQUAL, DEFAULT = "Trainer, batch 32", "Trainer, zoo's batch", "Trainer, its default batch"
RESIDENT, LOADED = "best loop, data on the GPU", "best loop, workers"
TIMM = "timm's recipe, zoo's batch"

_FULL = "--strategy full --epochs {epochs}"


def _trainer(
    name: str, module: str, network: str, batch: str, speed: float, more: str = ""
) -> Library:
    options = f"--network {network} --size {{size}} --workers {{workers}} --batch {batch} {more}"
    return peer(
        name, module, peer="trainer", options=options, seconds=START, speed=speed, repeats=1,
        part="--share" in more, optional=name != TRAINER,
    )  # fmt: skip


def _best(name: str, network: str, more: str) -> Library:
    options = f"--network {network} --size {{size}} --workers {{workers}} --batch 256 {more}"
    return peer(
        name, "best_loop", peer="best", options=f"{options} --duration {{duration}}",
        seconds=START + 20, repeats=1, part=True, optional=name != RESIDENT,
    )  # fmt: skip


def _timm(network: str, speed: float) -> Library:
    options = f"--network {network} --size {{size}} --workers {{workers}} --batch {{batch}}"
    return peer(
        TIMM, "timm_recipe", peer="timm", options=options, seconds=START, speed=speed, repeats=1,
        optional=True,
    )  # fmt: skip


def _comparisons(*names: str) -> Sequence[Comparison]:
    """The comparisons of a full fine-tune with these libraries.

    The libraries' own memory is compared at equal batch size.
    """
    known = (
        Comparison(peer=TRAINER, targets={"steady": 3, "seconds": 2}, memory=False),
        Comparison(peer=EQUAL, targets={"steady": None, "seconds": None}),
        Comparison(peer=DEFAULT, targets={"steady": None}, memory=False),
        Comparison(peer=TIMM, targets={"steady": None, "seconds": None}),
        Comparison(peer=RESIDENT, targets={"steady": 0.9}, memory=False),
        Comparison(peer=LOADED, targets={"steady": None}, memory=False),
    )
    return [comparison for comparison in known if comparison.peer in names]


def _images(
    name: str, title: str, network: str, speed: float, trainer: float, *more: Library
) -> Case:
    zoo = f"torchvision/{network} --weights {{start}} --image-size {{size}} {_FULL}"
    libraries = (
        own(finetune(zoo), START, repeats=1, speed=speed),
        _trainer(TRAINER, "trainer_images", network, "32", trainer),
        _best(RESIDENT, network, "--resident"),
        _timm(network, speed),
        _trainer(EQUAL, "trainer_images", network, "{batch}", speed / 1.5),
        *more,
    )
    return Case(
        name=name, title=title, throughput=True, data="photographs", start=network, samples=IMAGES,
        epochs=2, libraries=libraries, comparisons=_comparisons(*(each.name for each in libraries)),
    )  # fmt: skip


_RESNET = _images(
    "gpu-resnet50", "full fine-tune, ResNet-50, {samples} images, {epochs} epochs", "resnet50", 2500, 800,
    _best(LOADED, "resnet50", ""),
    _trainer(DEFAULT, "trainer_images", "resnet50", "8", 200, "--share 0.1"),
)  # fmt: skip

_VIT = _images(
    "gpu-vit", "full fine-tune, ViT-B/16, {samples} images, {epochs} epochs", "vit_b_16", 1200, 700
)  # fmt: skip

_PROBE = Case(
    name="gpu-probe", title="probe, ResNet-50, {samples} images, {epochs} epochs", data="photographs",
    start="resnet50", samples=IMAGES, epochs=3,
    libraries=(
        own(
            finetune("torchvision/resnet50 --weights {start} --image-size {size} --strategy probe"), START,
            repeats=1, speed=9000,
        ),
        _trainer(TRAINER, "trainer_images", "resnet50", "32", 1200, "--probe"),
    ),
    comparisons=[Comparison(peer=TRAINER, targets={"seconds": 8}, memory=False)],
)  # fmt: skip

_BERT_LIBRARIES = (
    own(finetune(f"path:{{start}} --max-length {{size}} {_FULL}"), START, repeats=1, speed=2000),
    _trainer(TRAINER, "trainer", "bert", "32", 650),
    _best(RESIDENT, "bert", "--resident"),
    _trainer(EQUAL, "trainer", "bert", "{batch}", 1500),
)

_BERT = Case(
    name="gpu-bert", title="full fine-tune, BERT-base at 128 tokens, {samples} texts, {epochs} epochs",
    throughput=True, data="sentences", start="bert", samples=IMAGES, epochs=2,
    libraries=_BERT_LIBRARIES,
    comparisons=_comparisons(*(each.name for each in _BERT_LIBRARIES)),
)  # fmt: skip


def _accuracy(name: str, library: str) -> Library:
    command = (
        "-m benchmarks.speed.accuracy --data {data} --weights {start} --epochs {epochs} --size {size} "
        f"--workers {{workers}} --batch 32 --network resnet18 --library {library}"
    )
    return Library(
        name=name, peer=library, command=command, seconds=START + 9, speed=500, repeats=1,
    )  # fmt: skip


_ACCURACY = Case(
    name="gpu-accuracy", title="accuracy, ResNet-18 from scratch, {samples} images, {epochs} epochs, three seeds",
    data="photographs", start="resnet18-random", samples=1000, epochs=5,
    libraries=(_accuracy("zoo", "zoo"), _accuracy(TRAINER, "trainer")),
    comparisons=[Comparison(peer=TRAINER, memory=False)],
)  # fmt: skip

GPU_CASES: Sequence[Case] = (_RESNET, _PROBE, _BERT, _VIT, _ACCURACY)
"""In order of importance."""
