"""The image encoders that the plugin lists: ``python -m zoo_transformers.image_catalogue`` measures them.

``MODELS`` states what their publishers say: the network's config where it differs from the library's
default, the preprocessing, the published classes. Width, parameters and sizes are measured on the
meta device and written to ``image_catalogue.json``, which :func:`image_encoders` reads without torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo import BackboneSpec, ImageInput, Weights
from zoo_transformers.image_resolve import image_row

CATALOGUE = Path(__file__).with_name("image_catalogue.json")

_HALF = (0.5, 0.5, 0.5)
_CLIP = ImageInput(
    crop=1.0,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    interpolation="bicubic",
)
_VIT = ImageInput(crop=1.0, mean=_HALF, std=_HALF, crop_mode="squash")
_CONVNEXT = ImageInput(crop=0.875, interpolation="bicubic")
_DEIT = ImageInput(crop=0.875, interpolation="bicubic", crop_mode="squash")
_DINO = ImageInput(crop=0.875, interpolation="bicubic")

_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}


def _vit(width: int) -> Mapping[str, Any]:
    return {
        "hidden_size": width,
        "num_attention_heads": width // 64,
        "intermediate_size": 4 * width,
    }


@dataclass(frozen=True)
class PublishedModel:
    """What a publisher says of a model.

    Attributes:
        repo: On the Hub; also its name.
        kind: The library's ``model_type``.
        input: The preprocessing.
        paper: arXiv number.
        config: Where the config differs from the library's default.
        classes: Width of the published head.
        license: SPDX identifier; empty where the publisher states none.
    """

    repo: str
    kind: str
    input: ImageInput
    paper: str
    config: Mapping[str, Any] = field(default_factory=dict)
    classes: int = 0
    license: str = "Apache-2.0"


_BEIT = {"use_relative_position_bias": True, "use_absolute_position_embeddings": False}
_SWIN = replace(_VIT, mean=ImageInput().mean, std=ImageInput().std, interpolation="bicubic")

MODELS = (
    PublishedModel("google/vit-base-patch16-224", "vit", _VIT, "2010.11929", classes=1000),
    PublishedModel("google/vit-base-patch16-224-in21k", "vit", _VIT, "2010.11929"),
    PublishedModel("google/vit-large-patch16-224", "vit", _VIT, "2010.11929", _LARGE, 1000),
    PublishedModel("facebook/deit-tiny-patch16-224", "vit", _DEIT, "2012.12877", _vit(192), 1000),
    PublishedModel("facebook/deit-small-patch16-224", "vit", _DEIT, "2012.12877", _vit(384), 1000),
    PublishedModel("facebook/deit-base-patch16-224", "vit", _DEIT, "2012.12877", classes=1000),
    PublishedModel("microsoft/beit-base-patch16-224", "beit", _VIT, "2106.08254", _BEIT, 1000),
    PublishedModel(
        "microsoft/swin-tiny-patch4-window7-224", "swin", _SWIN, "2103.14030", classes=1000
    ),
    PublishedModel("facebook/convnext-tiny-224", "convnext", _CONVNEXT, "2201.03545", classes=1000),
    PublishedModel("microsoft/resnet-50", "resnet", _CONVNEXT, "1512.03385", classes=1000),
    PublishedModel(
        "facebook/dinov2-small",
        "dinov2",
        _DINO,
        "2304.07193",
        {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518, "patch_size": 14},
    ),
    PublishedModel(
        "facebook/dinov2-base",
        "dinov2",
        _DINO,
        "2304.07193",
        {"image_size": 518, "patch_size": 14},
    ),
    PublishedModel(
        "openai/clip-vit-base-patch32", "clip_vision_model", _CLIP, "2103.00020", license=""
    ),
    PublishedModel(
        "openai/clip-vit-base-patch16",
        "clip_vision_model",
        _CLIP,
        "2103.00020",
        {"patch_size": 16},
        license="",
    ),
    PublishedModel(
        "openai/clip-vit-large-patch14",
        "clip_vision_model",
        _CLIP,
        "2103.00020",
        {**_LARGE, "patch_size": 14},
        license="",
    ),
    PublishedModel(
        "google/siglip-base-patch16-224",
        "siglip_vision_model",
        replace(_VIT, interpolation="bicubic"),
        "2303.15343",
    ),
)


def image_encoders() -> Iterator[BackboneSpec]:
    """Every image encoder of the catalogue, named by the id under which people know it."""
    for row in json.loads(CATALOGUE.read_text(encoding="utf-8")):
        yield BackboneSpec.from_json(row)


def measured_row(model: PublishedModel) -> BackboneSpec:
    """The row of a model, measured on the meta device."""
    from zoo_transformers.image_networks import measured

    towers = model.kind.endswith("_vision_model")  # their config.json describes two networks
    weights = Weights(
        tag="hub",
        uri=f"hf:{model.repo}",
        license=model.license,
        default=True,
        classes=model.classes,
        config="" if towers else "config.json",
    )
    config = {"model_type": model.kind, **model.config}
    row = image_row(model.repo, config, model.input, weights)
    row = replace(row, paper=f"https://arxiv.org/abs/{model.paper}")
    return measured(row, model.classes)


def main() -> None:
    """Write the catalogue beside this module."""
    rows = [measured_row(model).to_json() for model in MODELS]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    CATALOGUE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{CATALOGUE}: {len(rows)} image encoders")


if __name__ == "__main__":
    main()
