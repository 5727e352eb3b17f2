"""Commands of plugins: known from the index, imported when they are used."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from zoo.errors import PluginError

if TYPE_CHECKING:
    from zoo.contract.commands import CommandSpec
    from zoo.registry.registry import Registry


@dataclass(frozen=True)
class PluginCommands:
    """Commands of plugins, beside zoo's own.

    Attributes:
        specs: By name; each with the name of its plugin.
        refused: By plugin, why commands of its are ignored.
        unusable: Status of the plugins that cannot be used, and whose commands are unknown.
    """

    specs: dict[str, tuple[str, CommandSpec]] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, registry: Registry, own: Collection[str]) -> PluginCommands:
        """The commands of the plugins in ``registry``; a name that is taken stays with its first owner.

        Args:
            registry: What is installed.
            own: Names of zoo's own commands.
        """
        statuses = {plugin.name: plugin.status for plugin in registry.plugins()}
        statuses |= {p.name: "ok" for p in registry.plugins() if p.status == "ok"}
        found = cls(unusable={name: s for name, s in statuses.items() if s != "ok"})
        for plugin, spec in registry.commands():
            if spec.name in own or spec.name in found.specs:
                owner = "zoo" if spec.name in own else f"the plugin {found.specs[spec.name][0]!r}"
                reason = f"its command {spec.name!r} is ignored: {owner} has a command of that name"
                found.refused.setdefault(plugin, []).append(reason)
            else:
                found.specs[spec.name] = (plugin, spec)
        return found

    def unusable_in_words(self) -> str:
        """A sentence on the plugins that cannot be used; empty if there are none."""
        if not self.unusable:
            return ""
        plugins = ", ".join(f"{name} ({status})" for name, status in self.unusable.items())
        return f" Plugins that cannot be used: {plugins}; see 'zoo plugins'."

    def warnings(self) -> list[str]:
        """A line for each command that is ignored."""
        return [
            f"the plugin {plugin!r}: {reason}"
            for plugin, reasons in self.refused.items()
            for reason in reasons
        ]


def load_command(plugin: str, spec: CommandSpec) -> click.Command:
    """The command, imported.

    Raises:
        PluginError: It cannot be imported, or is not a ``click.Command``.
    """
    from zoo.registry.discovery import guarded

    module, _, attribute = spec.target.partition(":")
    try:
        with guarded(f"the import of {spec.target}"):
            command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise PluginError(
                f"{spec.target} is of type {type(command).__name__}, not a click command"
            )
    except PluginError as error:
        raise PluginError(
            f"the command {spec.name!r} of the plugin {plugin!r} cannot be used: {error.message}",
            hint=f"Report it to the author, or disable the plugin: --no-plugin {plugin}",
        ) from error
    return command
