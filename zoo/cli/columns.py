"""Options that name one column of a table or several."""

from __future__ import annotations

import click


def one_or_more(
    _: click.Context, __: click.Parameter, names: tuple[str, ...]
) -> str | tuple[str, ...] | None:
    """A callback for ``multiple`` options: nothing, one name, or several."""
    return (names[0] if len(names) == 1 else names) or None
