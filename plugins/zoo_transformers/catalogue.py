"""The encoders that the plugin lists: rows of ``catalogue.json`` made into specs. No torch.

The configs stand in the file, so that a network of random parameters, its size and its stages are
known without the Hub. A family's config is that of its first member; a row states what differs.
``params`` counts the parameters of the backbone as it is built with the declared pooling, that is
without a head and without a pooling layer that the features do not pass through.
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
    """Every encoder of the catalogue, named by the id under which people know it."""
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
