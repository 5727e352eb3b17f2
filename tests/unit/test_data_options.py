"""Options of data as they are typed."""

from __future__ import annotations

from zoo.data.options import as_flags


def test_options_that_have_their_defaults_are_not_typed() -> None:
    assert as_flags({"text_column": None, "task": "auto", "bad_files": "error"}) == []
    assert as_flags({"label_column": ("a", "auto"), "task": "regression", "quoting": "none"}) == [
        *("--label-column", "a"),
        *("--label-column", "auto"),
        *("--task", "regression"),
        *("--quoting", "none"),
    ]
