"""MixUp and CutMix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.system.tensors.seeds import mixed_seed, seeded
from zoo.system.tensors.torchvision_operators import transforms

Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Mixer:
    """Mixes each image of a batch with another, and their targets in the same proportion.

    MixUp (Zhang et al. 2018, arXiv:1710.09412) blends two images; CutMix (Yun et al. 2019,
    arXiv:1905.04899) pastes a rectangle of one into the other. The proportion is drawn from
    Beta(alpha, alpha) once per batch. Both are torchvision's and run on the images' device.

    Args:
        mixup: Alpha of MixUp, at least 0; 0 for none. 0.2 is usual, 0.8 in long training.
        cutmix: Alpha of CutMix, at least 0; 0 for none. 1 is usual. With both, each batch gets one
            of the two, with equal probability.
        outputs: Width of the targets.
        seed: Random seed, combined with the step.
    """

    def __init__(self, mixup: float, cutmix: float, outputs: int, seed: int) -> None:
        self._mixes = _mixes(mixup, cutmix, outputs)
        self._outputs = outputs
        self._seed = seed

    def __call__(self, pixels: Tensor, targets: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Mix one batch; torch's global random state does not change.

        Args:
            pixels: ``(B, C, H, W)``, on any device. A batch of one image is not mixed.
            targets: ``(B,)`` class indices, or ``(B, outputs)`` floats.
            step: Training step, so that each one mixes differently.

        Returns:
            The pixels in their memory layout, and targets ``(B, outputs)``, float32.
        """
        if targets.ndim == 1:  # one_hot would read the largest index on the host
            shares = torch.zeros(len(targets), self._outputs, device=targets.device)
            targets = shares.scatter_(1, targets.unsqueeze(1), 1.0)
        targets = targets.float()  # (B, outputs)
        if len(pixels) == 1 or not self._mixes:
            return pixels, targets
        with seeded(mixed_seed(self._seed, step)):
            mix = self._mixes[int(torch.randint(len(self._mixes), ()))]
            mixed, soft = mix(pixels, targets)
        return mixed.contiguous(memory_format=_layout(pixels)), soft


def _mixes(mixup: float, cutmix: float, outputs: int) -> list[Mix]:
    v2 = transforms().v2
    mixes = ((v2.MixUp, mixup), (v2.CutMix, cutmix))
    return [mix(alpha=alpha, num_classes=outputs) for mix, alpha in mixes if alpha]


def _layout(pixels: Tensor) -> torch.memory_format:
    """Channels last or first, which rolling a batch loses."""
    last = torch.channels_last
    return last if pixels.is_contiguous(memory_format=last) else torch.contiguous_format
