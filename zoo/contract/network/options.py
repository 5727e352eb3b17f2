"""Grouped options of :meth:`zoo.Backbone.wrap` that only a few networks need."""

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
    """How the library itself names, builds and loads a network.

    Attributes:
        names: Converts a state dict of the network to the library's names and shapes, if they
            differ; the inverse of ``convert``.
        file: From a state dict of the network and the task's activation to the tensors of a run's
            weights file, if they depend on the task.
        network: Builds the library's network for a number of outputs, if it is not simply ``net``
            with the head at its path.
        files: From the backbone, the class names and the task's activation to text files that the
            library needs next to the weights, e.g. ``config.json``.
        code: From the backbone, whose head is linear, to Python code that does not import zoo.
            It defines ``load(folder)``, which returns the library's network with the
            ``model.safetensors`` in ``folder`` in evaluation mode, and
            ``logits(network, batch)``.
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
        also: Modules that PEFT can adapt although they are not torch's linear layers or
            convolutions.
        never: Modules whose weights the network uses without calling the module, so that an
            adapter would have no effect.
    """

    also: Iterable[str] = ()
    never: Iterable[str] = ()


@dataclass(frozen=True, kw_only=True)
class TokenOptions:
    """A network's tokenizer, token embedding and prefix tokens.

    Attributes:
        tokenizer: The published ``tokenizers.Tokenizer``, or a function that reads it from the
            folder of the weights (``None`` without weights) and returns ``None`` if there is none.
        embedding: Path of the token embedding, if it is not the first ``nn.Embedding`` with a row
            for each token.
        prefix: For image networks whose layers output tokens ``(B, T, width)``, with the image
            patches in row-major order: the number of tokens before them, such as 1 for a class
            token. ``None`` for any other network.
        optional_mask: For texts: whether ``extract`` takes a batch without ``attention_mask``, if no
            text of it has padding.
    """

    tokenizer: Tokenizer | Callable[[Path | None], Tokenizer | None] | None = None
    embedding: str = ""
    prefix: int | None = None
    optional_mask: bool = False
