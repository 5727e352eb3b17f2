"""Builds the text encoders of Transformers as backbones."""

from __future__ import annotations

from zoo import Backbone as Backbone  # first: readies torch for torchvision
from zoo import WeightsError, fetch, read_small

# isort: split
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from zoo import BackboneSpec, Weights
from zoo_transformers import names, networks, tokenization
from zoo_transformers.native import native_code, native_files
from zoo_transformers.quiet import quiet
from zoo_transformers.stages import stages_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# What a published config.json says about the file and not about the network.
_ABOUT_THE_FILE = ("architectures", "auto_map", "_name_or_path", "transformers_version")


def load(spec: BackboneSpec, weights: Weights | None) -> Backbone:
    """A text encoder with the pooling that ``spec.input`` declares.

    ``pooler``: the library's own ``…ForSequenceClassification``, whose logits ``forward`` gives.
    ``cls``, ``mean`` (over the mask, added in float32), ``last``: the library's encoder, and a
    head called ``zoo_head`` on its pooled last hidden states.

    Args:
        spec: A row of the catalogue, or what :mod:`.resolve` made of a name. Its ``config`` is
            the network; its ``vocab_size`` may differ, for a tokenizer trained on the data.
        weights: A Hub repository, a ``save_pretrained`` folder or a ``.safetensors`` file with
            the library's names; ``None`` for random parameters. Without weights the tokenizer
            is the published one if this machine has it, else ``None``.

    Raises:
        NameLookupError: The installed Transformers does not have the architecture.
        WeightsError: The weights are of another architecture, or there is no fast tokenizer.
        WeightsUnavailable: The weights are neither here nor within reach.
    """
    path = fetch(weights) if weights is not None else None
    if path is not None and path.is_dir() and weights in spec.weights:
        spec = _as_published(spec, path)
    classes = weights.classes if weights is not None else 0
    folder = _folder(spec, path)
    with quiet():
        config = networks.make_config(spec, classes)
        if folder is not None:
            networks.refuse_adapter(folder)
        networks.check_size(spec, config, folder)
        tokenizer = tokenization.find(spec, path)
        if path is not None and path.is_dir():
            net = networks.read(spec, config, path)
        else:
            net = networks.make(spec, config)
    read = path is not None and path.is_dir()
    return _wrap(spec, net, tokenizer, classes, read=read)


def _folder(spec: BackboneSpec, path: Path | None) -> Path | None:
    """The folder of the weights, else that which the network's name leads to; ``None`` for none."""
    published = spec.default_weights
    found = path or (Path(published.uri) if published else None)
    return found if found is not None and found.is_dir() else None


def _wrap(
    spec: BackboneSpec,
    net: PreTrainedModel,
    tokenizer: Tokenizer | None,
    classes: int,
    *,
    read: bool,
) -> Backbone:
    pooled = networks.PLAIN_POOLING.get(spec.text_input.pooling)
    head = names.head_path(net) if pooled is None else names.ZOO_HEAD
    if pooled is not None:
        networks.set_poolers_aside(net)
    own_names = names.Names(net, head)
    backbone = Backbone.wrap(
        net,
        spec=spec,
        head=head,
        stages=stages_of(net, head),
        extract=pooled or networks.library_pooling,
        tokenizer=tokenizer,
        to_native=own_names.to_library,
        from_native=own_names.to_own,
        to_file=own_names.to_file,
        adaptable=[path for path, module in net.named_modules() if isinstance(module, Conv1D)],
        native_files=native_files,
        native_code=native_code,
        token_embedding=names.token_embedding_path(net),
        loaded=own_names.to_own if read else None,
    )
    if not classes:
        backbone.head = nn.Identity()
    elif pooled is not None:
        backbone.replace_head(classes)
    return backbone


def _as_published(spec: BackboneSpec, folder: Path) -> BackboneSpec:
    """``spec`` with the config that its publisher ships, where the two differ.

    The run then records what the weights were really made for.
    """
    file = folder / "config.json"
    if not file.is_file():
        return spec
    shipped: Mapping[str, Any] = json.loads(read_small(file))
    if shipped.get("model_type") != spec.config["model_type"]:
        raise WeightsError(
            f"{folder} contains a network of type {shipped.get('model_type')!r}, but {spec.name} "
            f"is of type {spec.config['model_type']!r}",
            hint=f"To use the folder itself: path:{folder}",
        )
    config = {**spec.config, **{k: v for k, v in shipped.items() if k not in _ABOUT_THE_FILE}}
    if config == spec.config:
        return spec
    return replace(spec, config=config).with_input(
        vocab_size=config.get("vocab_size", spec.text_input.vocab_size)
    )
