"""Attribution: types shared by all modalities.

Nothing here knows a family of networks. The backbone says which outputs are feature maps and which
layer embeds tokens (:meth:`zoo.Backbone.maps_of`, :meth:`zoo.Backbone.token_embedding`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.contract.spec import BackboneSpec

if TYPE_CHECKING:
    import torch

    from zoo.contract.network.backbone import Backbone
    from zoo.data.loader import Loader
    from zoo.data.samples import Samples


class NotAttributed(Exception):
    """The network does not support attribution; the message says why."""


@dataclass(frozen=True)
class Piece:
    """A part of a text and its attribution in [-1, 1]; 0 between words."""

    text: str
    weight: float


@dataclass(frozen=True)
class Attribution:
    """A sample as displayed, with attributions.

    Attributes:
        name: Its path or name; empty if ``texts`` are shown.
        image: The image as a ``data:`` URI; empty if there is none.
        overlay: The image with the heat map.
        place: The region with the most evidence, in words.
        texts: Texts in pieces with weights.
        words: The words with the most evidence for the output.
    """

    name: str = ""
    image: str = ""
    overlay: str = ""
    place: str = ""
    texts: tuple[tuple[Piece, ...], ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A request to attribute outputs to inputs.

    Attributes:
        spec: The run's spec, for preparing samples.
        network: Loads the network; it may fail.
        samples: The samples.
        loader: Batches of them.
        tokenizer: The run's tokenizer, if it has one.
        outputs: The output to attribute, for each sample.
        against: Whether to show evidence against the output instead, for each sample: there may
            be none for a class that is not predicted.
        device: The device to compute on.
    """

    spec: BackboneSpec
    network: Callable[[], Backbone]
    samples: Samples
    loader: Loader
    tokenizer: Any
    outputs: Sequence[int]
    against: Sequence[bool]
    device: torch.device


@dataclass(frozen=True)
class Attributed:
    """Attributions of samples.

    Attributes:
        shown: One per sample.
        method: The attribution method; empty if there are no attributions.
        absent: Why there are none.
    """

    shown: tuple[Attribution, ...]
    method: str = ""
    absent: str = ""


@contextmanager
def without_parameter_gradients(backbone: Backbone) -> Iterator[None]:
    """Turn off parameter gradients in the block, to save memory."""
    trained = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()
