"""The type of checks, the batches that they use, and comparisons of tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.contract.network.batch import Batch
from zoo.contract.spec import BackboneSpec, ImageInput, TextInput
from zoo.modalities import modality_of
from zoo.modalities.text.tokenization import train_tokenizer

TOLERANCE = 1e-4
"""Largest difference of two outputs that should agree, as a share of the largest value."""

REGISTERED: list[Check] = []
"""Every check of a backbone, module by module as they are imported."""


class Imprecise(AssertionError):
    """Two outputs that should agree differ, perhaps by rounding alone."""


class NotApplicable(Exception):
    """Raised by a check that does not apply to a backbone; the message says why."""


@dataclass(frozen=True)
class Check:
    """A requirement of the contract, as a function that raises ``AssertionError`` if it is violated.

    It gets a newly built backbone, which it may modify.

    Attributes:
        run: The function.
        takes: The input type of the backbones that it applies to; ``None`` for all.
        on_meta: Whether it needs no values, and so also runs on the meta device, where even the
            largest networks take no memory.
        rounds: Whether it compares outputs that may differ by rounding. If they differ, it is
            repeated in float64, because deep networks with random weights amplify rounding.
        once_per_family: Whether ``zoo check PLUGIN`` runs it only on the smallest backbone of each
            family, because it is slow and a family's networks consist of the same layers.
    """

    run: Callable[[Backbone], None]
    takes: type[ImageInput | TextInput] | None
    on_meta: bool
    rounds: bool = False
    once_per_family: bool = False

    @property
    def name(self) -> str:
        """The function's name, which states the requirement."""
        return self.run.__name__

    @property
    def summary(self) -> str:
        """The requirement in one line."""
        return (self.run.__doc__ or "").strip().splitlines()[0]

    def applies(self, spec: BackboneSpec) -> bool:
        """Whether backbones of this kind can be checked."""
        return self.takes is None or isinstance(spec.input, self.takes)

    def __call__(self, backbone: Backbone) -> None:
        if not self.rounds:
            self.run(backbone)
            return
        untouched = copy.deepcopy(backbone)
        try:
            self.run(backbone)
        except Imprecise as differs:
            try:
                self.run(untouched.double())
            except Exception:  # also of code that cannot compute in float64
                raise differs from None


def check(
    *,
    takes: type[ImageInput | TextInput] | None = None,
    on_meta: bool = False,
    rounds: bool = False,
    once_per_family: bool = False,
) -> Callable[[Callable[[Backbone], None]], Check]:
    """Make a function one of the checks."""

    def register(run: Callable[[Backbone], None]) -> Check:
        made = Check(run, takes, on_meta, rounds, once_per_family)
        REGISTERED.append(made)
        return made

    return register


def sample_batch(
    backbone: Backbone, count: int = 2, *, size: int | tuple[int, int] | None = None
) -> Batch:
    """Make a seeded batch for a backbone: noise images, or random token ids without padding.

    Args:
        backbone: Determines the type of input, and the device.
        count: Number of samples.
        size: Height and width of the images (or both, where they differ), or number of
            tokens; the spec's size by default, 16 tokens at most.
    """
    reference = next(backbone.net.parameters())
    batch = modality_of(backbone.spec).random_batch(backbone.spec, count, size=size)
    return like(reference, batch)


def like(reference: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The batch on the device of a parameter; in float64 if that is the parameter's type."""
    return {
        name: tensor.to(
            reference.device,
            reference.dtype
            if tensor.is_floating_point() and reference.dtype == torch.float64
            else tensor.dtype,
        )
        for name, tensor in batch.items()
    }


def tokenizer_of(backbone: Backbone, *, any_will_do: bool = False) -> Any:
    """The network's tokenizer, or one trained on a few words; ``None`` if it is not for texts.

    Args:
        backbone: The network.
        any_will_do: Whether to train one even if the network has its own.

    Raises:
        NotApplicable: Its tokenizer is part of its weights.
    """
    if not backbone.spec.input.tokens:
        return None
    text = backbone.spec.text_input
    if backbone.tokenizer is None and text.own_tokenizer and not any_will_do:
        raise NotApplicable("its tokenizer comes with its weights")
    return backbone.tokenizer or train_tokenizer(["a few words to learn from"] * 2, text.vocab_size)


def small_batch(backbone: Backbone, count: int = 2) -> Batch:
    """A batch of the smallest size that the spec allows, of images not below 64 pixels."""
    size = modality_of(backbone.spec).small_size(backbone.spec)
    return sample_batch(backbone, count, size=size)


def first_of(batch: Batch, count: int = 1) -> Batch:
    """The first samples of a batch."""
    return {key: value[:count] for key, value in batch.items()}


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors."""
    return {key: value.detach().clone() for key, value in state.items()}


def spread(head: nn.Module) -> None:
    """Set a head to seeded values far from zero, so that its outputs differ between samples."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


def assert_same(before: Mapping[str, Tensor], after: Mapping[str, Tensor], what: str) -> None:
    """Check that all tensors are bit-identical; ``what`` is named in the error."""
    changed = [key for key, value in before.items() if not torch.equal(value, after[key])]
    assert not changed, f"{what} changed {len(changed)} tensors: {changed[:3]}"


def assert_close(given: Tensor, wanted: Tensor, what: str) -> None:
    """Check that two tensors agree within :data:`TOLERANCE`; ``what`` is the error message."""
    assert given.shape == wanted.shape, f"{what}: {tuple(given.shape)}, not {tuple(wanted.shape)}"
    scale = max(1.0, float(wanted.abs().max()))
    worst = float((given - wanted).abs().max()) / scale
    if not worst <= TOLERANCE:
        raise Imprecise(f"{what}: they differ by {worst:.1e} of the largest")
