"""Number of parameters of a network, from its safetensors header or its config. No torch."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from zoo import NameLookupError, Pooling

Header = Mapping[str, int]
"""Numbers of elements by tensor name, for floating-point tensors."""

_FLOATS = ("F64", "F32", "F16", "BF16")
# Parts of the library's networks outside the encoder: heads for pretraining and for tasks.
_HEADS = (
    "cls",
    "lm_head",
    "predictions",
    "discriminator_predictions",
    "generator_predictions",
    "generator_lm_head",
    "mask_predictions",
    "lm_predictions",
    "vocab_transform",
    "vocab_layer_norm",
    "vocab_projector",
    "qa_outputs",
    "decoder",
    "logits",
    "score",
)
# Pooling layers and classifiers, which are used only with the library's own pooling.
_POOLERS = ("pooler", "classifier", "pre_classifier", "head")


_COUNTS = (
    *("vocab_size", "hidden_size", "dim", "d_model", "n_embd", "embedding_size"),
    *("intermediate_size", "hidden_dim", "n_inner"),
    *("max_position_embeddings", "n_positions", "type_vocab_size"),
)
# Too many of these make building slow before memory runs out, so check_size does not catch them.
_MOST = {
    **dict.fromkeys(("num_hidden_layers", "n_layers", "n_layer", "num_hidden_groups"), 1000),
    **dict.fromkeys(("num_attention_heads", "n_heads", "n_head"), 100_000),
    "num_labels": 1_000_000,
}
_PER_STAGE = ("hidden_dim", "num_attention_heads")
"""Fields that may list a number for each stage."""


_COUNTED = re.compile(
    r"(?P<deep>layer|block|depth|stage|repeat)s?$|(?P<wide>expert|group)s?$"
    r"|^(?:num|n)_.*(?:(?P<deep2>layer|block|depth|stage|repeat)|(?P<wide2>expert|group))"
    r"|(?P<wide3>expert|group|layer)s?_num$"
)
"""Pattern of config fields that are counts; ``vocab_size_per_layer_input`` is not one."""

_DEEP, _WIDE = 1000, 20_000
"""Maximum number of consecutive layers, and of parallel ones such as experts."""

_LABELS = ("id2label", "label2id")
_ITEMS = 100_000
"""Maximum length of any list in a config, except its labels."""


def check_config(name: str, config: Mapping[str, Any]) -> None:
    """Check that all sizes in a config are valid.

    Raises:
        NameLookupError: A size is not valid; the message names it.
    """
    _check_counts(name, config)
    for key in (*_COUNTS, *_MOST):
        value = config.get(key)
        if value is None:
            continue
        most = _MOST.get(key)
        values = value if key in _PER_STAGE and isinstance(value, list) and value else [value]
        if any(type(v) is not int or v < 0 or (most is not None and v > most) for v in values):
            bound = f" from 0 to {most:,}" if most else ", 0 or more"
            raise NameLookupError(
                f"{name} has an invalid config.json: {key} must be an integer{bound}, got "
                f"{str(value)[:40]!r}",
                hint="Use the config.json that belongs to the weights.",
            )


def _check_counts(name: str, config: Mapping[str, Any], prefix: str = "") -> None:
    """Check the numbers of layers and the lengths of lists, which could keep the library busy for
    minutes."""
    for key, value in config.items():
        where = f"{prefix}{key}"
        most = _ITEMS
        many = isinstance(value, (list, Mapping)) and key not in _LABELS and len(value) > most
        if type(value) is int and (counted := _COUNTED.search(key)):
            most = _DEEP if counted["deep"] or counted["deep2"] else _WIDE
        if many or (most != _ITEMS and value > most):
            found = f"{len(value):,} items" if many else f"{value:,}"
            raise NameLookupError(
                f"{name} has an invalid config.json: {found} in {where}, at most {most:,} are supported",
                hint="Use the config.json that belongs to the weights.",
            )
        if isinstance(value, Mapping):
            _check_counts(name, value, f"{where}.")


def of_files(folder: Path) -> int:
    """Return the size in bytes of all weights files in ``folder``; 0 if there are none."""
    files = [path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin")]
    return sum(path.stat().st_size for path in files if path.is_file())


def of_memory() -> int:
    """Return this machine's memory in bytes; 0 if unknown."""
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 0


def read_header(folder: Path) -> Header:
    """Return the tensors of all ``.safetensors`` files in ``folder``; empty if there are none."""
    sizes: dict[str, int] = {}
    for file in sorted(folder.glob("*.safetensors")):
        # A damaged file is reported later, when its weights are loaded.
        with contextlib.suppress(OSError, SafetensorError), safe_open(file, "numpy") as opened:
            for name in opened.keys():  # noqa: SIM118 - it has keys, and is not a mapping
                tensor = opened.get_slice(name)
                if tensor.get_dtype() in _FLOATS:
                    sizes[name] = math.prod(tensor.get_shape())
    return sizes


def has_pooler(header: Header) -> bool:
    """Whether the file has a pooling layer; true if its header is unknown."""
    return not header or any({"pooler", "head"} & set(name.split(".")) for name in header)


def count(header: Header, pooling: Pooling) -> int:
    """Return the number of parameters of a backbone with ``pooling`` and the file's tensors."""
    left_out = set(_HEADS) if pooling == "pooler" else {*_HEADS, *_POOLERS}
    return sum(size for name, size in header.items() if left_out.isdisjoint(name.split(".")[:2]))


def estimate(config: Mapping[str, Any], width: int) -> int:
    """Return the number of parameters of a BERT-like encoder; approximate for others."""
    layers = int(config.get("num_hidden_layers") or config.get("n_layers") or 12)
    inner = int(config.get("intermediate_size") or config.get("hidden_dim") or 4 * width)
    rows = sum(
        int(config.get(key) or 0)
        for key in ("vocab_size", "max_position_embeddings", "type_vocab_size")
    )
    layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width
    return (rows + 2) * width + layers * layer
