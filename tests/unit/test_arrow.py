"""Arrow tables that are made of buffers hold what ``pyarrow.array`` makes of the same values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zoo.system import arrow


@pytest.mark.parametrize(
    "values",
    [
        ["a", "", "für", "日本"],
        [["a", "bc"], [], ["für"]],
        np.array([0.5, float("nan"), 2.0])[::2],
        np.array([1, -2, 3]),
        np.array([[0.25, 0.75], [1.0, 0.0]]).T,
        ["a", None],
        [["a"], [1.5]][1:],
        [],
    ],
)
def test_columns_are_those_of_pyarrow(values: Any) -> None:
    made = arrow.array(values)
    made.validate(full=True)
    several = isinstance(values, np.ndarray) and values.ndim > 1
    assert made.equals(pa.array(list(values) if several else values)) or np.isnan(values).any()
    assert str(made) == str(pa.array(list(values) if several else values))
    read = arrow.table({"x": values, "y": made})
    assert read.column_names == ["x", "y"]
    assert str(read["x"]) == str(read["y"])
