"""Detect whether padding changes the features of a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.errors import ContractError
from zoo.system.tensors.hooks import hooked

_FEW, _MORE = 2, (6, 16)
"""Tokens of the texts: few, so that convolutions reach the padding from each of them, and more for
networks that do not support so few."""

_PADDING = 9
_LARGEST = 1e-4
"""Largest difference between a text alone and padded, as a share of the largest value."""


def padding_matters(backbone: Backbone) -> bool:
    """Measure on random tokens whether padding changes the features of a text.

    It does if noise in the embeddings of padding changes a single bit (a correct mask leaves none,
    since nothing else differs), or if the features of a text differ with and without padding.

    Raises:
        ContractError: It does, and the network does not support short texts without padding.
    """
    spec = backbone.spec
    if not spec.input.tokens or next(backbone.net.parameters()).is_meta:
        return False
    matters = _measured(backbone, _FEW)
    if matters is not None:
        return matters
    if any(_measured(backbone, tokens) for tokens in _MORE):
        raise ContractError(
            f"the features of {spec.name} depend on padding, and it does not support texts of {_FEW} "
            "tokens without padding",
            hint=f"Use another --pooling than {spec.text_input.pooling}, or another model: "
            "zoo list --modality text",
        )
    return False


def _measured(backbone: Backbone, tokens: int) -> bool | None:
    """Whether padding matters for texts of a length; ``None`` if the network does not support it."""
    if backbone.spec.text_input.max_length <= tokens:
        return None
    alone, padded = _examples(backbone, tokens)
    try:
        with torch.no_grad(), _evaluated(backbone.net):
            wanted = backbone.features(alone)
            given = backbone.features(padded)
            with _noise_in_padding(backbone, padded["attention_mask"]):
                disturbed = backbone.features(padded)
    except (
        Exception
    ):  # of the network; if it cannot compute anything, that is reported when it is used
        return None
    if not torch.equal(given, disturbed):
        return True
    scale = max(1e-6, float(wanted.abs().max()))
    return float((given - wanted).abs().max()) > _LARGEST * scale


def _examples(backbone: Backbone, tokens: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return two texts without padding, and the same texts with padding."""
    text, device = backbone.spec.text_input, next(backbone.net.parameters()).device
    padding = min(_PADDING, text.max_length - tokens)
    generator = torch.Generator().manual_seed(0)
    low = min(5, text.vocab_size - 1)
    ids = torch.randint(low, text.vocab_size, (2, tokens), generator=generator)
    ids[ids == text.pad_id] = low if low != text.pad_id else 0
    ones, behind = torch.ones_like(ids), torch.zeros(2, padding, dtype=ids.dtype)
    alone = {"input_ids": ids, "attention_mask": ones}
    padded = {
        "input_ids": torch.cat([ids, behind + text.pad_id], dim=1),
        "attention_mask": torch.cat([ones, behind], dim=1),
    }
    return _on(device, alone), _on(device, padded)


def _on(device: torch.device, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.to(device) for key, value in batch.items()}


@contextmanager
def _evaluated(net: nn.Module) -> Iterator[None]:
    """Set evaluation mode in the block, and restore the mode of every module after it."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _noise_in_padding(backbone: Backbone, mask: Tensor) -> Iterator[None]:
    """Change embeddings where the mask is 0. Ids are unchanged, because some networks use them."""
    layer = backbone.token_embedding()

    def disturb(_: nn.Module, output: Any) -> Any:
        if not isinstance(output, Tensor) or output.shape[:2] != mask.shape:
            return output
        generator = torch.Generator().manual_seed(1)
        noise = torch.randn(output.shape, generator=generator).to(output)
        return output + noise * (mask == 0).unsqueeze(-1)

    with hooked([layer] if layer is not None else [], after=disturb):
        yield
