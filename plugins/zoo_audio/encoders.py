"""Builds the audio encoders of Transformers as backbones."""

from __future__ import annotations

from zoo import AdapterTargets, BackboneSpec, NameLookupError, Native
from zoo import Backbone as Backbone  # first: readies torch for torchvision

# isort: split
import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import CONFIG_MAPPING, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key
from transformers.utils import logging

from zoo_audio.families import FAMILIES, ZOO_HEAD, EncoderFamily
from zoo_audio.inputs import AudioInput

_ABOUT_THE_FILE = ("architectures", "auto_map", "_name_or_path", "transformers_version")
"""What a published config.json says about the file and not about the network."""


def load(spec: BackboneSpec) -> Backbone:
    """An audio encoder; ``spec.config`` is its config.

    The Audio Spectrogram Transformer has the library's own head behind its last normalisation. The
    features of the others are the mean of the last hidden states over time.

    Raises:
        NameLookupError: The config is not that of a family that zoo knows.
    """
    family = _family(spec)
    with _quiet():
        net = _network(spec, family)
    backbone = Backbone.wrap(
        net,
        spec=spec,
        head=family.head,
        stages=_stages(net, family),
        extract=partial(_pooled, family),
        convert=partial(_to_own, net, family),
        adapters=AdapterTargets(never=family.unadaptable),
        native=Native(files=_native_files, code=_native_code),
    )
    if spec.default_weights is None or not spec.default_weights.classes:
        backbone.head = nn.Identity()
    return backbone


def _family(spec: BackboneSpec) -> EncoderFamily:
    model_type = str(spec.config.get("model_type"))
    if model_type not in FAMILIES:
        raise NameLookupError(
            f"{spec.name!r} is not an audio encoder that zoo knows: its model_type is {model_type!r}",
            hint=f"Known: {', '.join(FAMILIES)}.",
        )
    return FAMILIES[model_type]


def _network(spec: BackboneSpec, family: EncoderFamily) -> PreTrainedModel:
    published = spec.default_weights
    options = {k: v for k, v in spec.config.items() if k not in (*_ABOUT_THE_FILE, "model_type")}
    config = CONFIG_MAPPING[str(spec.config["model_type"])](**{**options, **family.unused})
    if published is not None and published.classes and family.head != ZOO_HEAD:
        config.num_labels = published.classes
    config._attn_implementation = "sdpa"
    module, _, name = family.network.partition(":")
    kind: Any = getattr(importlib.import_module(module), name)
    net: PreTrainedModel = kind(config)
    return net


def _stages(net: PreTrainedModel, family: EncoderFamily) -> dict[str, Sequence[str]]:
    """Embeddings, each layer, and what follows."""
    layers = net.get_submodule(family.layers)
    early = bool(family.late) and not getattr(net.config, family.late)
    before = (*family.embeddings, *family.after) if early else family.embeddings
    stages: dict[str, Sequence[str]] = {"embeddings": before}
    for index, _ in enumerate(layers.children()):
        stages[f"layer.{index}"] = [f"{family.layers}.{index}"]
    return stages if early else {**stages, "norm": family.after}


def _pooled(family: EncoderFamily, net: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """``(B, width)``."""
    given = {family.call: batch["input_values"]}
    if family.head != ZOO_HEAD:  # the head has been taken out of the library's classifier
        features: Tensor = net(**given).logits
        return features
    mask = batch.get("attention_mask")
    if mask is not None:
        given["attention_mask"] = mask
    states: Tensor = net(**given).last_hidden_state  # (B, T, width)
    if mask is None:
        return states.mean(dim=1)
    kept = net._get_feature_vector_attention_mask(states.shape[1], mask)[..., None]  # type: ignore[operator]
    pooled: Tensor = (states * kept).sum(dim=1) / kept.sum(dim=1)
    return pooled


def _to_own(
    net: PreTrainedModel, family: EncoderFamily, state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors of a file under the network's names, without what is beside the encoder."""
    own = net.state_dict()
    renamings = [
        each for each in get_model_conversion_mapping(net) if isinstance(each, WeightRenaming)
    ]
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        bare = key
        for prefix in family.inside:
            if key not in own:
                bare = bare.removeprefix(prefix)
        if key not in own and (key.startswith(family.beside) or bare.startswith(family.beside)):
            continue
        name, _ = rename_source_key(bare, renamings, [], net.base_model_prefix, own)
        found[name if name in own and bare not in own else bare] = tensor
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log messages of the library: the core checks for missing and unused weights."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)


# -- without zoo ---------------------------------------------------------------------------------


def _native_files(backbone: Backbone, classes: Sequence[str], _: str) -> Mapping[str, str]:
    """``config.json``, with which the library loads the encoder."""
    net: PreTrainedModel = backbone.net  # type: ignore[assignment]
    config = net.config.to_diff_dict()
    config["id2label"] = dict(enumerate(classes))
    config["label2id"] = {label: index for index, label in enumerate(classes)}
    config["architectures"] = [type(net).__name__]
    kind = type(net.config)
    text: str = kind(**{k: v for k, v in config.items() if k != "model_type"}).to_json_string()
    return {"config.json": text}


_NATIVE_CODE = """\
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoConfig
from {module} import {name}


class Classifier(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        self.encoder = {name}(AutoConfig.from_pretrained(folder))
        state = load_file(Path(folder) / "model.safetensors")
        self.classifier = torch.nn.Linear({features}, {outputs})
        head = {{name: state.pop("{head}." + name) for name in ("weight", "bias")}}
        self.classifier.load_state_dict(head)
        {place}self.encoder.load_state_dict(state)

    def forward(self, given{mask}):
{pooled}


def load(folder):
    return Classifier(folder).eval()


def logits(network, batch):
    return network({arguments})  # (B, {outputs})
"""


_MASKED = """\
        states = self.encoder(input_values=given, attention_mask=mask).last_hidden_state
        kept = self.encoder._get_feature_vector_attention_mask(states.shape[1], mask)[..., None]
        return self.classifier((states * kept).sum(dim=1) / kept.sum(dim=1))"""

_KEYS = ("input_values", "attention_mask")


def _native_code(backbone: Backbone) -> str:
    """Code that loads a run folder with Transformers alone."""
    family = _family(backbone.spec)
    module, _, name = family.network.partition(":")
    own = family.head == ZOO_HEAD
    masked = isinstance(backbone.spec.input, AudioInput) and backbone.spec.input.mask
    call = f"self.encoder({family.call}=given)"
    plain = f"{call}.last_hidden_state.mean(dim=1)" if own else f"{call}.logits"
    return _NATIVE_CODE.format(
        module=module,
        name=name,
        head=family.head,
        features=backbone.spec.feature_dim,
        outputs=backbone.head.out_features,
        place="" if own else f"self.encoder.{family.head} = torch.nn.Identity()\n        ",
        mask=", mask" if masked else "",
        pooled=_MASKED if masked else f"        return self.classifier({plain})",
        arguments=", ".join(f'batch["{key}"]' for key in _KEYS[: 1 + masked]),
    )
