"""Names of backbones as a list that a notebook shows as a table. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zoo.contract.modalities import input_class
from zoo.system.html import html_table

_SHOWN = 100


class BackboneNames(list[str]):
    """Canonical names; a notebook shows them with their facts.

    Args:
        rows: The names, with the specs as JSON data.
    """

    def __init__(self, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        self._rows = dict(rows)
        super().__init__(self._rows)

    def _repr_html_(self) -> str:
        shown = self[:_SHOWN]
        more = f"and {len(self) - _SHOWN:,} more" if len(self) > _SHOWN else ""
        return html_table(
            [(name, *_cells(self._rows.get(name, {}))) for name in shown],
            header=("name", "input", "parameters", "features", "weights"),
            title=f"{len(self):,} backbones",
            more=more,
        )


def _cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    if not row:  # a name that the user has added
        return ("", "", "", "")
    params = row.get("params") or 0
    weights = ", ".join(str(each["tag"]) for each in row.get("weights", ()))
    return (
        input_class(row["modality"]).in_short(row["input"]),
        f"{params:,}" if params else "",
        row.get("feature_dim") or "",
        weights,
    )
