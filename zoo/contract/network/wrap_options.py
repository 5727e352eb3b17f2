"""Optional arguments of :meth:`zoo.Backbone.wrap`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from torch import Tensor, nn

if TYPE_CHECKING:
    from tokenizers import Tokenizer

StateDict = dict[str, Tensor]


class WrapOptions(TypedDict, total=False):
    """Optional keyword arguments of :meth:`zoo.Backbone.wrap`.

    Attributes:
        tokenizer: The text network's own tokenizer.
        to_native: Turns the plain names and shapes into the library's, where they differ.
        from_native: Its inverse, and that of ``to_file``.
        to_file: From the plain names and shapes and the name of the task to what the file of
            a run holds, where that depends on the task.
        native: Builds the library's own network with that many outputs, where putting the
            head back at its path does not make one.
        native_files: From the backbone, the class names and what makes answers of outputs to the text
            files that the library wants beside the weights, e.g. ``config.json``.
        native_code: From the backbone, whose head is linear, to Python source that needs no
            zoo: ``load(folder)``, the library's network with the ``model.safetensors`` in
            ``folder``, in evaluation mode; ``logits(network, batch)``, its outputs.
        adaptable: Modules of the library's own that PEFT can put LoRA beside, although they
            are none of torch's linear layers or convolutions.
        unadaptable: Modules whose weights the network reads without calling the module, so
            that an adapter there would do nothing.
        prefix_tokens: Of a network whose layers give tokens, ``(B, T, width)``, in which each
            but the first few stands for a place of the image, row by row: how many come
            first that do not, such as a class token. ``None`` for any other network.
        token_embedding: Path of the layer that makes vectors of token ids, where it is not
            the first ``nn.Embedding`` with a row for each token.
        loaded: Only where the library itself has read the weights into ``net``: from the
            tensors of its file to the names and shapes of ``net``. The core then compares
            them instead of loading them.
    """

    tokenizer: Tokenizer | None
    to_native: Callable[[StateDict], StateDict] | None
    from_native: Callable[[StateDict], StateDict] | None
    to_file: Callable[[StateDict, str], StateDict] | None
    native: Callable[[int], nn.Module] | None
    native_files: Callable[[Any, Sequence[str], str], Mapping[str, str]] | None
    native_code: Callable[[Any], str] | None
    adaptable: Iterable[str]
    unadaptable: Iterable[str]
    prefix_tokens: int | None
    token_embedding: str
    loaded: Callable[[StateDict], StateDict] | None
