"""Apply the library's conversions of weights files: renamed and fused tensors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import suppress

from torch import Tensor
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    dot_natural_key,
    rename_source_key,
)


def converted(net: PreTrainedModel, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` with the names and shapes that ``from_pretrained`` would give it.

    For example, files store the experts of a mixture separately and networks store them fused.
    Tensors that the library does not convert, or that the network does not have, keep their names.
    """
    current = net.state_dict()
    transforms = get_model_conversion_mapping(net)
    converters = {
        pattern: entry
        for entry in transforms
        if isinstance(entry, WeightConverter)
        for pattern in entry.source_patterns
    }
    renamings = [entry for entry in transforms if isinstance(entry, WeightRenaming)]
    found: dict[str, Tensor] = {}
    fused: dict[str, WeightConverter] = {}
    for key in sorted(state, key=dot_natural_key):
        name, pattern = rename_source_key(
            key, renamings, list(converters.values()), net.base_model_prefix, current
        )
        if name not in current or key in current:
            found[key] = state[key]
        elif pattern is None:
            found[name] = state[key]
        else:
            part = fused.setdefault(name, copy.deepcopy(converters[pattern]))
            part.add_tensor(name, key, pattern, state[key])  # type: ignore[arg-type]
    for name, part in fused.items():
        with suppress(Exception):  # missing or wrong tensors are reported when weights are loaded
            found |= part.convert(name, model=net, config=net.config)
    return found
