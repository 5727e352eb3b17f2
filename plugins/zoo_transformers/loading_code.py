"""Python code that loads a run with Transformers alone, for text and image runs."""

from __future__ import annotations

from zoo import Backbone

_CLASSIFIER = """\
from pathlib import Path

from safetensors.torch import load_file
from transformers import AutoConfig, {auto_class}


def load(folder):
    config = AutoConfig.from_pretrained(folder)
    network = {auto_class}.from_config(config)
    state = load_file(Path(folder) / "model.safetensors")
    state = {{k.replace("zoo_head.", "{head}."): v for k, v in state.items() if v.numel()}}
    network.load_state_dict(state)
    return network.eval()


def logits(network, batch):
    return network({inputs}).logits  # (B, {outputs})
"""

_ENCODER = """\
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModel


class Classifier(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder)
        self.classifier = torch.nn.Linear({features}, {outputs})
        with safe_open(Path(folder) / "model.safetensors", "pt") as file:
            head = {{name: file.get_tensor(f"zoo_head.{{name}}") for name in ("weight", "bias")}}
        self.classifier.load_state_dict(head)

{forward}


def load(folder):
    return Classifier(folder).eval()


def logits(network, batch):
    return network({inputs})  # (B, {outputs})
"""


def classifier_code(backbone: Backbone, *, auto_class: str, inputs: str) -> str:
    """Return code for a run that one of the library's classifiers can represent.

    Args:
        backbone: The run's network.
        auto_class: Name of the library's class, e.g. ``AutoModelForImageClassification``.
        inputs: Arguments of the network, as code that reads ``batch``.
    """
    return _CLASSIFIER.format(
        auto_class=auto_class,
        head=backbone.head_path,
        inputs=inputs,
        outputs=backbone.head.out_features,
    )


def encoder_code(backbone: Backbone, *, forward: str, inputs: str) -> str:
    """Return code for a run that consists of the library's encoder and a linear head.

    Args:
        backbone: The run's network.
        forward: Code of the method ``forward``, indented, and of the function ``pooled``.
        inputs: Arguments of the network, as code that reads ``batch``.
    """
    return _ENCODER.format(
        features=backbone.spec.feature_dim,
        forward=forward,
        inputs=inputs,
        outputs=backbone.head.out_features,
    )
