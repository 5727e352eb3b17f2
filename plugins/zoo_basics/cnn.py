"""The small CNN: two 3×3 convolutions, pooling, two linear layers."""

from __future__ import annotations

import inspect

from torch import Tensor, nn

from zoo import Backbone, BackboneSpec, Native


class SmallCnn(nn.Module):
    """Two 3×3 convolutions, each followed by pooling, and the first of the two linear layers.

    Adaptive pooling to a fixed grid accepts images of any size, square or not.

    Args:
        channels: Output channels of the two convolutions.
        grid: Height and width to which images of any size are pooled.
        features: Width of the features.
        dropout: Dropout rate of the features.
    """

    def __init__(
        self, *, channels: tuple[int, int], grid: int, features: int, dropout: float
    ) -> None:
        super().__init__()
        first, second = channels
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, first, 3, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.conv2 = nn.Sequential(
            nn.Conv2d(first, second, 3, padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.linear = nn.Sequential(
            nn.Flatten(),
            nn.Linear(second * grid * grid, features),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        self.head = nn.Identity()

    def forward(self, pixels: Tensor) -> Tensor:
        """From ``(B, 3, H, W)`` to ``(B, features)``, or to the head's outputs."""
        maps = self.conv2(self.conv1(pixels))  # (B, second, H/4, W/4)
        features = self.linear(self.pool(maps))  # (B, features)
        outputs: Tensor = self.head(features)
        return outputs


def load(spec: BackboneSpec) -> Backbone:
    """Build the CNN with random weights."""
    first, second = spec.config["channels"]
    net = SmallCnn(
        channels=(first, second),
        grid=spec.config["grid"],
        features=spec.feature_dim,
        dropout=spec.config["dropout"],
    )
    return Backbone.wrap(
        net,
        spec=spec,
        head="head",
        stages=["conv1", "conv2", "linear"],
        native=Native(code=_native_code),
    )


_NATIVE_CODE = """\
from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn


{source}

def load(folder):
    network = SmallCnn(channels=({first}, {second}), grid={grid}, features={features}, dropout={dropout})
    network.head = nn.Linear({features}, {outputs})
    network.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return network.eval()


def logits(network, batch):
    return network(batch["pixel_values"])  # (B, {outputs})
"""


def _native_code(backbone: Backbone) -> str:
    """Source code of the class, since no other library provides it."""
    first, second = backbone.spec.config["channels"]
    return _NATIVE_CODE.format(
        source=inspect.getsource(SmallCnn),
        first=int(first),
        second=int(second),
        grid=int(backbone.spec.config["grid"]),
        features=backbone.spec.feature_dim,
        dropout=float(backbone.spec.config["dropout"]),
        outputs=backbone.head.out_features,
    )
