"""Grouped options of :meth:`zoo.Backbone.wrap`, for what only a few networks need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from tokenizers import Tokenizer

StateDict = dict[str, Tensor]
Convert = Callable[[StateDict], StateDict]


@dataclass(frozen=True, kw_only=True)
class Native:
    """How the library itself names, builds and loads such a network.

    Attributes:
        names: Turns the network's names and shapes into the library's, where they differ; the
            inverse of ``convert``.
        file: From the network's names and shapes and the task's activation to the tensors of a
            run's weights file, where that depends on the task.
        network: Builds the library's own network with that many outputs, where putting the
            head back at its path does not make one.
        files: From the backbone, the class names and the task's activation to the text files
            that the library needs beside the weights, e.g. ``config.json``.
        code: From the backbone, whose head is linear, to Python source that needs no zoo:
            ``load(folder)``, the library's network with the ``model.safetensors`` in
            ``folder``, in evaluation mode; ``logits(network, batch)``, its outputs.
    """

    names: Convert | None = None
    file: Callable[[StateDict, str], StateDict] | None = None
    network: Callable[[int], nn.Module] | None = None
    files: Callable[[Any, Sequence[str], str], Mapping[str, str]] | None = None
    code: Callable[[Any], str] | None = None


@dataclass(frozen=True, kw_only=True)
class AdapterTargets:
    """Corrections to the layers that adapters are added to.

    Attributes:
        also: Modules of the library's own that PEFT can add LoRA to, although they are none of
            torch's linear layers or convolutions.
        never: Modules whose weights the network reads without calling the module, so that an
            adapter there would have no effect.
    """

    also: Iterable[str] = ()
    never: Iterable[str] = ()


@dataclass(frozen=True, kw_only=True)
class TokenOptions:
    """The tokens of a network: how a text becomes some, and where they are in its layers.

    Attributes:
        tokenizer: The network's own ``tokenizers.Tokenizer``, or a function that reads it from
            the folder of the weights (``None`` without weights) and returns ``None`` if there
            is none.
        embedding: Path of the layer that embeds token ids, where it is not the first
            ``nn.Embedding`` with a row for each token.
        prefix: Of an image network whose layers output tokens, ``(B, T, width)``, for the
            patches of the image, row by row: the number of tokens before them, such as 1 for a
            class token. ``None`` for any other network.
    """

    tokenizer: Tokenizer | Callable[[Path | None], Tokenizer | None] | None = None
    embedding: str = ""
    prefix: int | None = None
