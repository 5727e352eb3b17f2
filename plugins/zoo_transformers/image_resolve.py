"""Image encoders outside the catalogue: make specs from ``config.json`` and the image processor.

No torch at import. The feature dimension and the valid image sizes are measured on the meta device,
for which torch is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo import BackboneSpec, ImageInput, NameLookupError, Weights

LOADER = "zoo_transformers.image_loader:load"
LIBRARY_LICENSE = "Apache-2.0"

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Files with the image preprocessing; the second may describe other inputs instead."""

Json = Mapping[str, Any]

_SAME_NETWORK = {"vit_mae": "vit"}
"""Types that mask random patches for pretraining, to the same network without masking."""

_CLASSIFIER = "ForImageClassification"
_PROCESSOR_KEYS = ("image_processor_type", "image_mean")


def processes_images(processor: Json) -> bool:
    """Whether the content of a ``preprocessor_config.json`` is an image processor's."""
    inner = processor.get("image_processor")
    keys = {*processor, *(inner if isinstance(inner, Mapping) else ())}
    return not keys.isdisjoint(_PROCESSOR_KEYS)


def image_spec(name: str, config: Json, folder: Path, weights: tuple[str, str]) -> BackboneSpec:
    """Return the spec of the network that ``config`` describes.

    Args:
        name: Canonical name.
        config: The content of ``config.json``. If it describes several towers, the vision tower
            is used.
        folder: The folder of the image processor's file.
        weights: Tag and URI of the weights.

    Raises:
        NameLookupError: A file is not valid, or the network does not run on images.
    """
    from zoo_transformers.image_inputs import read_input
    from zoo_transformers.image_networks import measured

    network = vision_config(name, config)
    classes = published_classes(config)
    tag, uri = weights
    spec = image_row(
        name,
        network,
        read_input(name, folder),
        Weights(tag=tag, uri=uri, default=True, classes=classes),
    )
    return measured(spec, classes)


def image_row(name: str, config: Json, image: ImageInput, weights: Weights) -> BackboneSpec:
    """Return a spec whose feature dimension has yet to be measured."""
    return BackboneSpec(
        name=name,
        modality="image",
        feature_dim=1,
        params=0,
        input=image,
        loader=LOADER,
        weights=(weights,),
        license=LIBRARY_LICENSE,
        tags=(config["model_type"],),
        config={key: value for key, value in config.items() if key != "auto_map"},
    )


def vision_config(name: str, config: Json) -> Json:
    """Return the part of ``config`` that describes the image network."""
    tower = config.get("vision_config")
    if tower is None:
        return {
            **config,
            "model_type": _SAME_NETWORK.get(config["model_type"], config["model_type"]),
        }
    if not isinstance(tower, Mapping):
        raise NameLookupError(
            f"{name} has an invalid config.json: vision_config must be an object",
            hint="Use the config.json that belongs to the weights.",
        )
    return {"model_type": f"{config['model_type']}_vision_model", **tower}


def published_classes(config: Json) -> int:
    """Return the number of classes of an image classifier's config; 0 for any other network."""
    architecture = str((config.get("architectures") or [""])[0])
    if not architecture.endswith(_CLASSIFIER):
        return 0
    return len(config.get("id2label") or ()) or int(config.get("num_labels") or 2)
