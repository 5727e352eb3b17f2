"""Finds installed plugins and talks to each one alone.

Every plugin gets a pluggy manager of its own: one that raises, is half registered or misspells a
hook takes nobody with it. Nothing here imports a plugin until it is asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from zoo.errors import PluginError, ZooError, closest, first_line
from zoo.registry.entry_points import GROUP, PluginSource, installed
from zoo.registry.side_effects import observed

__all__ = [
    "CORE",
    "Plugin",
    "PluginSource",
    "fingerprint",
    "guarded",
    "incompatibility",
    "installed",
]


CORE = "zoo-finetune"
"""The distribution that the core and its own plugins come in."""


def incompatibility(source: PluginSource, core_version: str) -> str:
    """Why ``source`` cannot work with this core; the empty string if it can.

    A plugin says which core it needs as a requirement of its distribution: ``zoo-finetune>=2``.
    """
    wishes = [
        text
        for text in source.requires
        if re.match(r"zoo[-_.]+finetune(?![\w.-])", text, re.IGNORECASE)
    ]
    if source.distribution == CORE or not wishes:
        return ""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in wishes:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        wanted = requirement.specifier
        if applies and not wanted.contains(core_version, prereleases=True):
            return f"needs {CORE} {wanted}, and this is {core_version}"
    return ""


def fingerprint(source: PluginSource) -> str:
    """Changes when the plugin is upgraded, edited in place, or moved; nothing is imported."""
    package = re.split(r"[.:\s\[]", source.value.strip(), maxsplit=1)[0]
    digest = hashlib.sha256(repr((source, sys.version_info[:2])).encode())
    for path in _files(package):
        with contextlib.suppress(OSError):
            facts = os.stat(path)
            line = f"{path}:{facts.st_size}:{facts.st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


class Plugin:
    """A plugin that has been imported and registered, in a manager of its own.

    Raises:
        PluginError: It cannot be imported or registered, or implements a hook that the zoo does
            not have.
    """

    def __init__(self, source: PluginSource) -> None:
        import importlib.metadata

        import pluggy

        from zoo.contract import hookspecs

        self.source = source
        self._manager = pluggy.PluginManager("zoo")
        self._manager.add_hookspecs(hookspecs)
        entry = importlib.metadata.EntryPoint(source.name, source.value, GROUP)
        with guarded("its import"):
            self._module = entry.load()
        with guarded("its registration"):
            self._manager.register(self._module, name=source.name)
            self._refuse_unknown_hooks({n for n in vars(hookspecs) if n.startswith("zoo_")})

    def ask(self, hook: str, **arguments: Any) -> Any:
        """The plugin's answer to one hook; ``None`` if it does not implement it.

        Raises:
            PluginError: The hook raised something that is not for the user.
            ZooError: The plugin's own message to the user, passed on as it is.
        """
        with guarded(hook):
            results = getattr(self._manager.hook, hook)(**arguments)
            return results[0] if results else None

    def implements(self, hook: str) -> bool:
        """Whether the plugin has an implementation of ``hook``."""
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def _refuse_unknown_hooks(self, known: set[str]) -> None:
        for name in dir(self._module):
            marked = self._manager.parse_hookimpl_opts(self._module, name) is not None
            if marked and name not in known:
                near = closest(name, known, 1)
                guess = f"; did you mean {near[0]}?" if near else ""
                raise PluginError(f"it implements {name}, which is not a hook of the zoo{guess}")
            if not marked and name in known and not _is_specification(self._module, name):
                raise PluginError(f"its {name} lacks the decorator @zoo.hookimpl")


def _is_specification(module: object, name: str) -> bool:
    """Whether ``name`` is zoo's own declaration of the hook, imported by the plugin."""
    return getattr(getattr(module, name), "__module__", "") == "zoo.contract.hookspecs"


@contextlib.contextmanager
def guarded(what: str) -> Iterator[None]:
    """Around a plugin's code: what it raises becomes a PluginError, what it prints goes to stderr.

    Args:
        what: Which part of the plugin runs, for the message.
    """
    try:
        with observed():
            yield
    except (ZooError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plugin may call sys.exit; that is its fault alone
        raise PluginError(f"{what} raised {first_line(error, kind=True)}") from error


def _files(package: str) -> list[str]:
    """The files of a top-level package or module that decide what its catalogue is."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError, AttributeError):
        return []
    if spec is None:
        return []
    if not spec.submodule_search_locations:
        return [spec.origin] if spec.origin else []
    return [
        os.path.join(folder, name)
        for location in spec.submodule_search_locations
        for folder, _, names in sorted(os.walk(location))
        for name in sorted(names)
        if not name.endswith((".pyc", ".pyo"))
    ]
