"""Read and write the catalogue file: one row per line, sorted by name, without default values."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zoo import BackboneSpec, ImageInput, Weights

CATALOGUE = Path(__file__).with_name("catalogue.json")

COMMON: Mapping[str, Any] = {
    "modality": "image",
    "loader": "zoo_timm.loader:load",
    "license": "Apache-2.0",
}
"""What every row says alike; it stands in the file once."""


def read(path: Path) -> list[BackboneSpec]:
    """Return the rows of the catalogue at ``path``, sorted by name."""
    data = json.loads(path.read_bytes())
    return [BackboneSpec.from_json({**data["common"], **row}) for row in data["backbones"]]


def library_version(path: Path) -> str:
    """Return the version of timm that the catalogue at ``path`` was generated from."""
    return str(json.loads(path.read_bytes())["timm"])


def accuracies_source(path: Path) -> str:
    """Where the accuracies in the catalogue at ``path`` are published."""
    return str(json.loads(path.read_bytes())["accuracies"])


def write(specs: Iterable[BackboneSpec], path: Path, *, version: str, accuracies: str) -> None:
    """Write ``specs``, generated from timm ``version``, to ``path``; see :func:`accuracies_source`."""
    rows = [_dump(_row(spec)) for spec in sorted(specs, key=lambda spec: spec.name)]
    text = (
        f'{{"timm":{_dump(version)},\n"accuracies":{_dump(accuracies)},\n'
        f'"common":{_dump(COMMON)},\n"backbones":[\n' + ",\n".join(rows) + "\n]}\n"
    )
    path.write_text(text, encoding="utf-8")


def _row(spec: BackboneSpec) -> dict[str, Any]:
    row = _changed(spec)
    for key, value in COMMON.items():
        if row.get(key) == value:
            del row[key]
    return row


def _changed(data: BackboneSpec | Weights | ImageInput) -> dict[str, Any]:
    """Return the fields of ``data`` that differ from their default, as JSON data."""
    changed = {}
    for field in dataclasses.fields(data):
        value = getattr(data, field.name)
        if field.default_factory is not dataclasses.MISSING:
            default: Any = field.default_factory()
        else:
            default = field.default
        if value != default or field.name == "input":
            changed[field.name] = _plain(value)
    return {key: value for key, value in changed.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, (Weights, ImageInput)):
        return _changed(value)
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return dict(value) if isinstance(value, Mapping) else value


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
