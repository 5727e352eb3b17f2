"""Help with many options, under headings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from zoo.engine.hyperparameters import SECTIONS

OTHER = "Options"


class SectionedOption(click.Option):
    """An option that stands under a heading of the help."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


def section(title: str) -> Callable[..., Callable[[Any], Any]]:
    """As ``click.option``, for options under the heading ``title``."""

    def option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
        return click.option(*names, cls=SectionedOption, section=title, **attributes)

    return option


class SectionedCommand(click.Command):
    """A command whose options are printed under the headings of ``SECTIONS``."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, heading by heading."""
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in SECTIONS}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Argument):
                continue  # described in the text above
            record = parameter.get_help_record(ctx)
            if record is not None:
                title = getattr(parameter, "section", OTHER)
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            if not records:
                continue
            with formatter.section(title):
                formatter.write_dl(records)
