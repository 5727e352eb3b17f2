"""Memory-mapped tables."""

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
    """A memory-mapped table.

    Attributes:
        data: The rows.
        title: Its name in messages and reports.
        folder: The folder that file paths in it are relative to.
        rows: ``(N,)``, the rows to use; ``None`` for all.
        note: A note for the user about how the file was parsed.
    """

    data: datasets.Dataset
    title: str
    folder: Path
    rows: NDArray[np.bool_] | None = None
    note: str = ""
