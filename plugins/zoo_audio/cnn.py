"""The small CNN: three blocks on a mel spectrogram, pooled over time, and a linear layer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo import Backbone, BackboneSpec, Native
from zoo_audio.inputs import AudioInput


class AudioCnn(nn.Module):
    """Three blocks of a 3×3 convolution, each halved by pooling, and the mean and maximum over time.

    Args:
        mels: Bands of the spectrogram, a multiple of 8.
        channels: Outputs of the three convolutions.
        features: Width of the features.
        dropout: Share of features that are dropped in training.
    """

    def __init__(
        self, *, mels: int, channels: Sequence[int], features: int, dropout: float
    ) -> None:
        super().__init__()
        first, second, third = channels
        self.conv1 = self.block(1, first)
        self.conv2 = self.block(first, second)
        self.conv3 = self.block(second, third)
        self.linear = nn.Sequential(
            nn.Linear(2 * third * (mels // 8), features), nn.ReLU(), nn.Dropout(dropout)
        )
        self.head = nn.Identity()

    @staticmethod
    def block(inputs: int, outputs: int) -> nn.Sequential:
        """A convolution of the same size, normalised and halved."""
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )

    def forward(self, spectrogram: Tensor) -> Tensor:
        """From ``(B, mels, frames)`` to ``(B, features)``, or to the head's outputs."""
        maps = self.conv3(self.conv2(self.conv1(spectrogram[:, None])))  # (B, C, mels/8, frames/8)
        bands = maps.flatten(1, 2)  # (B, C * mels / 8, frames / 8)
        features = self.linear(torch.cat([bands.mean(dim=2), bands.amax(dim=2)], dim=1))
        outputs: Tensor = self.head(features)
        return outputs


def load(spec: BackboneSpec) -> Backbone:
    """The CNN with random parameters."""
    net = AudioCnn(features=spec.feature_dim, **_options(spec))
    return Backbone.wrap(
        net,
        spec=spec,
        head="head",
        stages=["conv1", "conv2", "conv3", "linear"],
        extract=_extract,
        native=Native(code=_native_code),
    )


def _options(spec: BackboneSpec) -> dict[str, Any]:
    assert isinstance(spec.input, AudioInput)
    return {"mels": spec.input.mels, **spec.config}


def _extract(net: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    features: Tensor = net(batch["input_values"])
    return features


_NATIVE_CODE = """\
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


{source}

def load(folder):
    network = AudioCnn(features={features}, **{options})
    network.head = nn.Linear({features}, {outputs})
    network.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return network.eval()


def logits(network, batch):
    return network(batch["input_values"])  # (B, {outputs})
"""


def _native_code(backbone: Backbone) -> str:
    """Source code of the class, since no other library provides it."""
    return _NATIVE_CODE.format(
        source=inspect.getsource(AudioCnn),
        features=backbone.spec.feature_dim,
        options=_options(backbone.spec),
        outputs=backbone.head.out_features,
    )
