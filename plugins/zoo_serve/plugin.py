"""The plugin ``serve``: the command ``zoo serve``."""

from __future__ import annotations

from collections.abc import Iterator

import zoo


@zoo.hookimpl
def zoo_commands() -> Iterator[zoo.CommandSpec]:
    """The command ``zoo serve``."""
    yield zoo.CommandSpec(
        name="serve",
        target="zoo_serve.command:command",
        help="Serve runs as web pages and an HTTP API.",
    )
