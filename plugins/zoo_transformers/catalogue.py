"""Read the text encoders of the catalogue, ``catalogue.json``. No torch.

The file contains the configs, so that a network with random weights can be built without the Hub.
A family has a config; its rows state only differences from it. ``params`` counts the parameters of
the backbone with the declared pooling: without a head, and without unused pooling layers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo import BackboneSpec, TextInput, Weights
from zoo_transformers.families import family_of, longest_text, width_of

LOADER = "zoo_transformers.loader:load"
LIBRARY_LICENSE = "Apache-2.0"
PAPERS = "https://arxiv.org/abs/"


def encoders() -> Iterator[BackboneSpec]:
    """Yield all text encoders of the catalogue, named by their usual ids."""
    file = Path(__file__).with_name("catalogue.json")
    data = json.loads(file.read_text(encoding="utf-8"))
    for row in data["encoders"]:
        family = row["family"]
        config = {"model_type": family, **data["families"][family], **row.get("config", {})}
        yield _spec(row, config)


def _spec(row: Mapping[str, Any], config: Mapping[str, Any]) -> BackboneSpec:
    width = width_of(config)
    assert width is not None
    weights = Weights(
        tag="hub",
        uri=f"hf:{row['repo']}",
        license=row["license"],
        default=True,
        classes=0,
        config="config.json",
    )
    return BackboneSpec(
        name=row["name"],
        modality="text",
        feature_dim=width,
        params=row["params"],
        input=TextInput(
            max_length=longest_text(config),
            pooling=row.get("pooling", family_of(row["family"]).pooling),
            vocab_size=config["vocab_size"],
            pad_id=row.get("pad_id", config["pad_token_id"]),
        ),
        loader=LOADER,
        weights=(weights,),
        license=LIBRARY_LICENSE,
        paper=PAPERS + row["paper"],
        tags=(row["family"], *row["tags"]),
        config=config,
    )
