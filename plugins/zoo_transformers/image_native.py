"""Files next to the weights, with which Transformers loads an image run without zoo."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from zoo import Backbone, ImageInput
from zoo_transformers.loading_code import classifier_code, encoder_code
from zoo_transformers.names import ZOO_HEAD
from zoo_transformers.run_config import run_config

_RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}


def native_files(backbone: Backbone, classes: Sequence[str], activation: str) -> Mapping[str, str]:
    """Return ``config.json`` and ``preprocessor_config.json``.

    With them ``AutoImageProcessor`` loads the run folder, and so does
    ``AutoModelForImageClassification``, or ``AutoModel`` if the library has no classifier.
    """
    has_classifier = backbone.head_path != ZOO_HEAD
    config = run_config(backbone, classes, activation, has_classifier=has_classifier)
    processor = json.dumps(processor_config(backbone.spec.image_input), indent=2) + "\n"
    return {"config.json": config.to_json_string(), "preprocessor_config.json": processor}


def processor_config(image: ImageInput) -> dict[str, object]:
    """Return the config of a library image processor with the same preprocessing."""
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


_FORWARD = """\
    def forward(self, pixel_values):
        output = self.encoder(pixel_values=pixel_values{options})
        return self.classifier(pooled(output))


def pooled(output):
    if output.get("pooler_output") is not None:
        return output.pooler_output.flatten(1)
    hidden = output.last_hidden_state
    return hidden.mean(dim=1) if hidden.ndim == 3 else hidden.flatten(2).mean(dim=2)"""


def native_code(backbone: Backbone) -> str:
    """Return code that loads a run folder with Transformers alone."""
    from zoo_transformers.image_networks import needs_interpolation

    size = backbone.spec.image_input.size
    interpolate = needs_interpolation(backbone.net, (size, size))
    options = ", interpolate_pos_encoding=True" if interpolate else ""
    pixels = 'batch["pixel_values"]'
    if backbone.head_path == ZOO_HEAD:
        return encoder_code(backbone, forward=_FORWARD.format(options=options), inputs=pixels)
    return classifier_code(
        backbone,
        auto_class="AutoModelForImageClassification",
        inputs=f"pixel_values={pixels}{options}",
    )
