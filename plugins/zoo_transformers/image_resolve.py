"""Image encoders outside the catalogue: what ``config.json`` and the image processor say. No torch.

The width of the features and the sizes that a network takes are measured on the meta device, for
which torch is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo import BackboneSpec, ImageInput, NameLookupError, Weights

LOADER = "zoo_transformers.image_loader:load"
LIBRARY_LICENSE = "Apache-2.0"

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Where the library keeps what is done to images; the second also for other inputs."""

Json = Mapping[str, Any]

_SAME_NETWORK = {"vit_mae": "vit"}
"""Types whose own network leaves patches out at random, which is for pretraining, to that without."""

_CLASSIFIER = "ForImageClassification"
_PROCESSOR_KEYS = ("image_processor_type", "image_mean")


def processes_images(processor: Json) -> bool:
    """Whether a ``preprocessor_config.json`` is that of images."""
    inner = processor.get("image_processor")
    keys = {*processor, *(inner if isinstance(inner, Mapping) else ())}
    return not keys.isdisjoint(_PROCESSOR_KEYS)


def image_spec(name: str, config: Json, folder: Path, weights: tuple[str, str]) -> BackboneSpec:
    """The spec of the network that ``config`` and the files beside it describe.

    Args:
        name: Canonical.
        config: The content of ``config.json``; of one with several towers the vision tower is taken.
        folder: Where the image processor's file is.
        weights: Tag and address of the weights.

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
    """A spec whose width is still to be measured."""
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
    """The part of ``config`` that describes the network for images."""
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
    """The outputs of the classifier that ``config`` is of; 0 for any other network."""
    architecture = str((config.get("architectures") or [""])[0])
    if not architecture.endswith(_CLASSIFIER):
        return 0
    return len(config.get("id2label") or ()) or int(config.get("num_labels") or 2)
