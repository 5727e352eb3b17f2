"""The files that Transformers wants beside an image network's weights."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zoo import Backbone, ImageInput
from zoo_transformers.names import ZOO_HEAD
from zoo_transformers.native import PROBLEMS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}


def native_files(backbone: Backbone, classes: Sequence[str], activation: str) -> Mapping[str, str]:
    """``config.json`` and ``preprocessor_config.json``.

    With them ``AutoImageProcessor``, and ``AutoModelForImageClassification`` where the library has a
    classifier, else ``AutoModel``, load the run's folder.
    """
    net: PreTrainedModel = backbone.net  # type: ignore[assignment]
    config = copy.deepcopy(net.config)
    # Without a classifier of the library's none is named: its pipeline would load the bare encoder.
    config.architectures = None if backbone.head_path == ZOO_HEAD else [type(net).__name__]
    config.id2label = dict(enumerate(classes))
    config.label2id = {label: index for index, label in enumerate(classes)}
    config.problem_type = PROBLEMS.get(activation)
    processor = json.dumps(processor_config(backbone.spec.image_input), indent=2) + "\n"
    return {"config.json": config.to_json_string(), "preprocessor_config.json": processor}


def processor_config(image: ImageInput) -> dict[str, object]:
    """The library's image processor that does the same."""
    resized = round(image.size / image.crop)
    squash = image.crop_mode == "squash"
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": resized, "width": resized} if squash else {"shortest_edge": resized},
        "resample": _RESAMPLE[image.interpolation],
        "do_center_crop": True,
        "crop_size": {"height": image.size, "width": image.size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(image.mean),
        "image_std": list(image.std),
    }


_CLASSIFIER = """\
from pathlib import Path

from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForImageClassification


def load(folder):
    config = AutoConfig.from_pretrained(folder)
    network = AutoModelForImageClassification.from_config(config)
    state = load_file(Path(folder) / "model.safetensors")
    state = {{k.replace("zoo_head.", "{head}."): v for k, v in state.items() if v.numel()}}
    network.load_state_dict(state)
    return network.eval()


def logits(network, batch):
    return network(pixel_values=batch["pixel_values"]{options}).logits  # (B, {outputs})
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

    def forward(self, pixel_values):
        output = self.encoder(pixel_values=pixel_values{options})
        return self.classifier(pooled(output))


def pooled(output):
    if output.get("pooler_output") is not None:
        return output.pooler_output.flatten(1)
    hidden = output.last_hidden_state
    return hidden.mean(dim=1) if hidden.ndim == 3 else hidden.flatten(2).mean(dim=2)


def load(folder):
    return Classifier(folder).eval()


def logits(network, batch):
    return network(batch["pixel_values"])  # (B, {outputs})
"""


def native_code(backbone: Backbone) -> str:
    """How plain Transformers loads a run's folder."""
    from zoo_transformers.image_networks import resizes

    size, net = backbone.spec.image_input.size, backbone.net
    options = ", interpolate_pos_encoding=True" if resizes(net, (size, size)) else ""
    outputs = backbone.head.out_features
    if backbone.head_path != ZOO_HEAD:
        return _CLASSIFIER.format(outputs=outputs, head=backbone.head_path, options=options)
    return _ENCODER.format(
        outputs=outputs,
        features=backbone.spec.feature_dim,
        options=options,
    )
