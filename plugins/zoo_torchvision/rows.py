"""Read the catalogue file. No torch."""

from __future__ import annotations

import json
from pathlib import Path

from zoo import BackboneSpec

CATALOGUE = Path(__file__).with_name("catalogue.json")


def read() -> list[BackboneSpec]:
    """Return all backbones of ``catalogue.json``."""
    rows = json.loads(CATALOGUE.read_text(encoding="utf-8"))["backbones"]
    return [BackboneSpec.from_json(row) for row in rows]


def library_version() -> str:
    """Return the version of torchvision that the catalogue was generated from."""
    return str(json.loads(CATALOGUE.read_text(encoding="utf-8"))["torchvision"])
