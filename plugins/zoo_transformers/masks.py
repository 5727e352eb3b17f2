"""Attention masks that the library makes without reading the padding on the host.

To leave out a mask that hides nothing, the library reads ``mask.all()`` in every forward pass, for
which the host waits for the device. The engine knows from the data whether there is padding, so
here a mask that is given is always made.
"""

from __future__ import annotations

from zoo import Backbone as Backbone  # first: readies torch for torchvision

# isort: split
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask

_SDPA, _EAGER = "zoo_sdpa", "zoo_eager"


def make_masks_unread(net: PreTrainedModel) -> None:
    """Let the network make its masks without reading them; outputs stay the same.

    Networks with an eager attention of their own that they choose by its name stay as they are.
    """
    chooses = net._can_set_attn_implementation()
    if net.config._attn_implementation == "sdpa" and chooses:
        net.set_attn_implementation(_SDPA)
    elif net.config._attn_implementation == "eager" and not chooses:
        net.config._attn_implementation = _EAGER


def _always(make: Callable[..., Any]) -> Callable[..., Any]:
    """``make``, which leaves out a mask only where none is given."""

    def mask(*, attention_mask: Tensor | None = None, **options: Any) -> Any:
        if attention_mask is not None:
            options |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
        return make(attention_mask=attention_mask, **options)

    return mask


_MAKES: Mapping[str, Callable[..., Any]] = {_SDPA: sdpa_mask, _EAGER: eager_mask}
for _name, _make in _MAKES.items():
    # The library builds a network only with the name of an attention; those of _EAGER use their own.
    AttentionInterface.register(_name, sdpa_attention_forward)
    AttentionMaskInterface.register(_name, _always(_make))
