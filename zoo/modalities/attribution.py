"""Where a network looked: what the modalities have in common of it.

Nothing here knows a family of networks. Which outputs have places, and which layer makes vectors
of tokens, the backbone says (:meth:`zoo.Backbone.maps_of`, :meth:`zoo.Backbone.token_embedding`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.contract.spec import BackboneSpec

if TYPE_CHECKING:
    import torch

    from zoo.contract.backbone import Backbone
    from zoo.data.loader import Loader
    from zoo.data.samples import Samples


class NotAttributed(Exception):
    """Where the network looked cannot be shown; the message says why."""


@dataclass(frozen=True)
class Piece:
    """A part of a text, and how much it spoke for the output: in [-1, 1], 0 for what lies between words."""

    text: str
    weight: float


@dataclass(frozen=True)
class Attribution:
    """A sample as it is shown, with where the network looked.

    Attributes:
        name: Its path, or what stands for it; empty where ``texts`` say it.
        image: As a ``data:`` address; empty where there is none.
        overlay: The same under a heat map.
        place: Where that is hot, in words.
        texts: In pieces with weights.
        words: Those that spoke most for the output.
    """

    name: str = ""
    image: str = ""
    overlay: str = ""
    place: str = ""
    texts: tuple[tuple[Piece, ...], ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """What a network is asked about some samples.

    Attributes:
        spec: How the samples are prepared.
        network: Gives the network; it may fail.
        samples: Which, to be read.
        loader: Batches of them.
        tokenizer: That of the run, if it has one.
        outputs: For each sample the output that is asked about.
        against: For each whether to show what spoke against the output instead: of a class that
            the network rules out, nothing may have spoken for it.
        device: Where it computes.
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
    """The samples as they are shown.

    Attributes:
        shown: One for each.
        method: How the network was asked; empty where it could not be.
        absent: Why not.
    """

    shown: tuple[Attribution, ...]
    method: str = ""
    absent: str = ""


@contextmanager
def without_parameter_gradients(backbone: Backbone) -> Iterator[None]:
    """No parameter takes a gradient while the block runs, so that a graph holds no more than it must."""
    trained = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()
