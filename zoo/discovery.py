"""Finds installed plugins and talks to each one alone.

Every plugin gets a pluggy manager of its own: one that raises, is half registered or misspells a
hook takes nobody with it. Nothing here imports a plugin until it is asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import hookspecs
from zoo.errors import PluginError, ZooError, closest


@dataclass(frozen=True)
class Source:
    """An entry point of the group ``zoo.plugins``, before anything of it is imported."""

    name: str
    value: str
    distribution: str
    version: str
    requires: tuple[str, ...] = ()


def installed() -> list[Source]:
    """The plugins of every installed distribution, sorted by name."""
    found = []
    for entry in importlib.metadata.entry_points(group=hookspecs.GROUP):
        dist = entry.dist
        found.append(
            Source(
                name=entry.name,
                value=entry.value,
                distribution=dist.name if dist else "",
                version=dist.version if dist else "",
                requires=tuple(dist.requires or ()) if dist else (),
            )
        )
    return sorted(set(found), key=lambda source: (source.name, source.distribution))


def incompatibility(source: Source, core_version: str) -> str:
    """Why ``source`` cannot work with this core; the empty string if it can.

    A plugin says which core it needs as a requirement of its distribution: ``zoo>=2``.
    """
    if source.distribution == "zoo":
        return ""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in source.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        wanted = requirement.specifier
        if requirement.name.lower() == "zoo" and not wanted.contains(
            core_version, prereleases=True
        ):
            return f"needs zoo {wanted}, and this is zoo {core_version}"
    return ""


def fingerprint(source: Source) -> str:
    """Changes when the plugin is upgraded, edited in place, or moved; nothing is imported."""
    package = source.value.partition(":")[0].strip().partition(".")[0]
    digest = hashlib.sha256(repr((source, sys.version_info[:2])).encode())
    for path in _files(package):
        with contextlib.suppress(OSError):
            facts = path.stat()
            digest.update(f"{path}:{facts.st_size}:{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def environment_stamp() -> str:
    """Changes when a distribution is installed or removed anywhere on ``sys.path``."""
    stamps = []
    for entry in sys.path:
        with contextlib.suppress(OSError):
            stamps.append(f"{entry}:{os.stat(entry or '.').st_mtime_ns}")
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()


class Plugin:
    """A plugin that has been imported and registered, in a manager of its own.

    Raises:
        PluginError: It cannot be imported or registered, or implements a hook that the zoo does
            not have.
    """

    def __init__(self, source: Source) -> None:
        import pluggy

        self.source = source
        self._manager = pluggy.PluginManager("zoo")
        self._manager.add_hookspecs(hookspecs)
        entry = importlib.metadata.EntryPoint(source.name, source.value, hookspecs.GROUP)
        with self._guarded("its import"):
            self._module = entry.load()
        with self._guarded("its registration"):
            self._manager.register(self._module, name=source.name)
        self._refuse_unknown_hooks()

    def ask(self, hook: str, **arguments: Any) -> Any:
        """The plugin's answer to one hook; ``None`` if it does not implement it.

        Raises:
            PluginError: The hook raised something that is not for the user.
            ZooError: The plugin's own message to the user, passed on as it is.
        """
        with self._guarded(hook):
            results = getattr(self._manager.hook, hook)(**arguments)
            return results[0] if results else None

    def implements(self, hook: str) -> bool:
        """Whether the plugin has an implementation of ``hook``."""
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def _refuse_unknown_hooks(self) -> None:
        known = {name for name in vars(hookspecs) if name.startswith("zoo_")}
        for name in dir(self._module):
            marked = self._manager.parse_hookimpl_opts(self._module, name) is not None
            if marked and name not in known:
                near = closest(name, known, 1)
                guess = f"; did you mean {near[0]}?" if near else ""
                raise PluginError(f"it implements {name}, which is no hook of the zoo{guess}")

    @contextlib.contextmanager
    def _guarded(self, what: str) -> Any:
        """Turns whatever the plugin raises into a PluginError, and its prints into stderr's."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except (ZooError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a plugin may call sys.exit; that is its fault alone
            text = str(error).strip() or "no message"
            raise PluginError(
                f"{what} raised {type(error).__name__}: {text.splitlines()[0]}"
            ) from error


def _files(package: str) -> list[Path]:
    """The files of a top-level package or module that decide what its catalogue is."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if not spec.submodule_search_locations:
        return [Path(spec.origin)] if spec.origin else []
    return [
        path
        for folder in spec.submodule_search_locations
        for path in sorted(Path(folder).rglob("*"))
        if path.suffix in {".py", ".json", ".toml", ".csv", ".so"}
    ]
