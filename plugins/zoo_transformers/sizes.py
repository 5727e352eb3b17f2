"""How many parameters a network has, from the head of its file or from its config. No torch."""

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
"""Names of floating-point tensors to their number of elements."""

_FLOATS = ("F64", "F32", "F16", "BF16")
# What the library's networks hold besides the encoder: heads of pretraining and of tasks.
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
# Pooling layers and classifiers, which take part only where the library's own pooling is used.
_POOLERS = ("pooler", "classifier", "pre_classifier", "head")


_COUNTS = (
    *("vocab_size", "hidden_size", "dim", "d_model", "n_embd", "embedding_size"),
    *("intermediate_size", "hidden_dim", "n_inner"),
    *("max_position_embeddings", "n_positions", "type_vocab_size"),
)
# Each costs time before it costs memory, so the size of the weights file does not bound it.
_MOST = {
    **dict.fromkeys(("num_hidden_layers", "n_layers", "n_layer", "num_hidden_groups"), 1000),
    **dict.fromkeys(("num_attention_heads", "n_heads", "n_head"), 100_000),
    "num_labels": 1_000_000,
}


_COUNTED = re.compile(
    r"(?P<deep>layer|block|depth|stage|repeat)s?$|(?P<wide>expert|group)s?$"
    r"|^(?:num|n)_.*(?:(?P<deep2>layer|block|depth|stage|repeat)|(?P<wide2>expert|group))"
    r"|(?P<wide3>expert|group|layer)s?_num$"
)
"""Names of fields that count what is repeated; ``vocab_size_per_layer_input`` does not."""

_DEEP, _WIDE = 1000, 20_000
"""The most of what follows one another, and of what lies side by side, as experts do."""

_LABELS = ("id2label", "label2id")
_ITEMS = 100_000
"""Of anything that a config lists, its labels aside."""


def refuse_impossible(name: str, config: Mapping[str, Any]) -> None:
    """Refuse what cannot be the number of anything in a network.

    Raises:
        NameLookupError: The config has such a number; the message names it.
    """
    _refuse_endless(name, config)
    for key in (*_COUNTS, *_MOST):
        value = config.get(key)
        if value is None:
            continue
        most = _MOST.get(key)
        if type(value) is not int or value < 0 or (most is not None and value > most):
            bound = f" from 0 to {most:,}" if most else ", 0 or more"
            raise NameLookupError(
                f"{name} has an invalid config.json: {key} must be an integer{bound}, got "
                f"{str(value)[:40]!r}",
                hint="Use the config.json that belongs to the weights.",
            )


def _refuse_endless(name: str, config: Mapping[str, Any], place: str = "") -> None:
    """Refuse numbers of layers, and lists, that the library would go through for minutes."""
    for key, value in config.items():
        where = f"{place}{key}"
        most = _ITEMS
        many = isinstance(value, (list, Mapping)) and key not in _LABELS and len(value) > most
        if type(value) is int and (counted := _COUNTED.search(key)):
            most = _DEEP if counted["deep"] or counted["deep2"] else _WIDE
        if many or (most != _ITEMS and value > most):
            what = f"{len(value):,} items" if many else f"{value:,}"
            raise NameLookupError(
                f"{name} has an invalid config.json: {what} in {where}, at most {most:,} are supported",
                hint="Use the config.json that belongs to the weights.",
            )
        if isinstance(value, Mapping):
            _refuse_endless(name, value, f"{where}.")


def of_files(folder: Path) -> int:
    """The bytes of all files of weights in ``folder``; 0 where there is none."""
    files = [path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin")]
    return sum(path.stat().st_size for path in files if path.is_file())


def of_memory() -> int:
    """The bytes of this machine's memory; 0 where the system does not say."""
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 0


def read_header(folder: Path) -> Header:
    """The tensors of every ``.safetensors`` file in ``folder``; empty where there is none."""
    sizes: dict[str, int] = {}
    for file in sorted(folder.glob("*.safetensors")):
        # Of a damaged file, reading the weights will say that it is.
        with contextlib.suppress(OSError, SafetensorError), safe_open(file, "numpy") as opened:
            for name in opened.keys():  # noqa: SIM118 - it has keys, and is not a mapping
                tensor = opened.get_slice(name)
                if tensor.get_dtype() in _FLOATS:
                    sizes[name] = math.prod(tensor.get_shape())
    return sizes


def may_pool(header: Header) -> bool:
    """Whether the file holds a pooling layer, as far as its header is known."""
    return not header or any({"pooler", "head"} & set(name.split(".")) for name in header)


def count(header: Header, pooling: Pooling) -> int:
    """Parameters of the backbone as it is built from the file with ``pooling``."""
    left_out = set(_HEADS) if pooling == "pooler" else {*_HEADS, *_POOLERS}
    return sum(size for name, size in header.items() if left_out.isdisjoint(name.split(".")[:2]))


def estimate(config: Mapping[str, Any], width: int) -> int:
    """Parameters of an encoder in the manner of BERT: exact for its like, else about right."""
    layers = int(config.get("num_hidden_layers") or config.get("n_layers") or 12)
    inner = int(config.get("intermediate_size") or config.get("hidden_dim") or 4 * width)
    rows = sum(
        int(config.get(key) or 0)
        for key in ("vocab_size", "max_position_embeddings", "type_vocab_size")
    )
    layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width
    return (rows + 2) * width + layers * layer
