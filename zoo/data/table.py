"""A table in memory-mapped form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datasets
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Table:
    """A table in memory-mapped form.

    Attributes:
        data: The rows.
        title: How reports call it.
        folder: What paths of files in it are relative to.
        rows: ``(N,)``, which of its rows are meant; ``None`` for all.
        note: What the user should know of how it is written.
    """

    data: datasets.Dataset
    title: str
    folder: Path
    rows: NDArray[np.bool_] | None = None
    note: str = ""
