"""Load plugins in isolation.

Every plugin has its own pluggy manager: one that raises, fails to register or misspells a hook
does not affect the others. Plugins are imported only when needed.
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

from zoo.errors import PluginError, PluginTimeoutError, ZooError, closest, first_line
from zoo.registry.entry_points import GROUP, PluginSource, installed
from zoo.registry.side_effects import observed
from zoo.registry.time_limits import TimeLimitReached, limited, seconds_for

__all__ = [
    "CORE",
    "Plugin",
    "PluginSource",
    "content",
    "fingerprint",
    "guarded",
    "has_files",
    "incompatibility",
    "installed",
    "package_fingerprint",
]


CORE = "zoo-finetune"
"""The distribution of the core and the bundled plugins."""


def incompatibility(source: PluginSource, core_version: str) -> str:
    """Return why a plugin does not support this version of zoo; empty if it does.

    A plugin states the versions that it supports as a requirement: ``zoo-finetune>=2``.
    """
    requirements = [
        text
        for text in source.requires
        if re.match(r"zoo[-_.]+finetune(?![\w.-])", text, re.IGNORECASE)
    ]
    if source.distribution == CORE or not requirements:
        return ""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        supported = requirement.specifier
        if applies and not supported.contains(core_version, prereleases=True):
            return f"requires {CORE} {supported}, installed is {core_version}"
    return ""


def fingerprint(source: PluginSource) -> str:
    """Return a hash that changes when the plugin is upgraded, edited or moved; imports nothing."""
    facts = repr((source, sys.version_info[:2]))
    return hashlib.sha256(f"{facts}:{package_fingerprint(_package(source))}".encode()).hexdigest()


def package_fingerprint(package: str) -> str:
    """Return a hash of the paths, sizes and times of a top-level package's files; imports nothing."""
    digest = hashlib.sha256()
    for path in _files(package):
        with contextlib.suppress(OSError):
            facts = os.stat(path)
            line = f"{path}:{facts.st_size}:{facts.st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def has_files(package: str) -> bool:
    """Whether a top-level package has files, so that its fingerprint changes with its code."""
    return bool(package and _files(package))


def content(source: PluginSource) -> str:
    """Return a hash of the content of the plugin's files, wherever and how old they are."""
    digest = hashlib.sha256()
    for path in _files(_package(source)):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _package(source: PluginSource) -> str:
    return re.split(r"[.:\s\[]", source.value.strip(), maxsplit=1)[0]


class Plugin:
    """An imported and registered plugin, with its own plugin manager.

    Raises:
        PluginError: It cannot be imported or registered, or implements an unknown hook.
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
            self._check_hooks({n for n in vars(hookspecs) if n.startswith("zoo_")})

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call a hook; returns ``None`` if the plugin does not implement it.

        Raises:
            PluginError: The hook raised an unexpected error.
            ZooError: The plugin's own error message, passed on unchanged.
        """
        with guarded(hook):
            results = getattr(self._manager.hook, hook)(**arguments)
            return results[0] if results else None

    def implements(self, hook: str) -> bool:
        """Whether the plugin implements ``hook``."""
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def _check_hooks(self, known: set[str]) -> None:
        for name in dir(self._module):
            marked = self._manager.parse_hookimpl_opts(self._module, name) is not None
            if marked and name not in known:
                near = closest(name, known, 1)
                guess = f"; did you mean {near[0]}?" if near else ""
                raise PluginError(f"it implements the unknown hook {name}{guess}")
            if not marked and name in known and not _is_specification(self._module, name):
                raise PluginError(f"its {name} is missing the decorator @zoo.hookimpl")


def _is_specification(module: object, name: str) -> bool:
    """Whether ``name`` is zoo's own hook specification, imported by the plugin."""
    return getattr(getattr(module, name), "__module__", "") == "zoo.contract.hookspecs"


@contextlib.contextmanager
def guarded(what: str) -> Iterator[None]:
    """Run plugin code: errors become a PluginError, output goes to standard error.

    Args:
        what: The part of the plugin that runs, for the message. A hook has a time limit.

    Raises:
        PluginTimeoutError: The code took too long.
        PluginError: It raised an unexpected error, or called ``sys.exit``.
    """
    try:
        with observed(), limited(seconds_for(what)):
            yield
    except (ZooError, KeyboardInterrupt):
        raise
    except TimeLimitReached as error:
        raise PluginTimeoutError(
            f"{what}: {error}", hint="To leave a plugin out: --no-plugin NAME"
        ) from error
    except BaseException as error:  # including SystemExit: a plugin may call sys.exit
        raise PluginError(f"{what} raised {first_line(error, kind=True)}") from error


def _files(package: str) -> list[str]:
    """Return the files of a top-level package or module that its catalogue may depend on."""
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
