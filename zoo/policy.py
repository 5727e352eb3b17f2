"""``registry.toml``: short names, resolution order, switched-off plugins, pins, published runs.

Policy comes in layers, and a later one wins line by line: the file that ships with zoo, the
user's, the nearest one from the working directory up, and ``ZOO_*`` variables
(``ZOO_PLUGINS=torchvision,timm``: these plugins alone; ``ZOO_RESOLVE_ORDER=timm,torchvision``).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo.errors import PolicyError, closest
from zoo.places import config_folder

SCHEMA = 1
FILE = "registry.toml"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the layers together say.

    Attributes:
        order: Plugins in the order in which a bare name is looked up.
        aliases: Short names to canonical names, in the order of the files.
        disabled: Plugins that are switched off.
        only: If not ``None``, the only plugins that are switched on.
        pins: Canonical names (or ``name.tag``) to the sha256 that their weights must have.
        runs: Names to run folders that are published as backbones.
        files: The files that were read, the shipped one first.
    """

    order: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, Path] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    def is_disabled(self, plugin: str) -> bool:
        """Whether ``plugin`` is switched off."""
        return plugin in self.disabled or (self.only is not None and plugin not in self.only)


def load_policy(*, folder: Path | None = None) -> Policy:
    """All layers, read and laid over each other.

    Args:
        folder: Where the search for the nearest file starts; the working directory by default.

    Raises:
        PolicyError: A file is not TOML, or holds an unknown key or a value of the wrong kind.
    """
    policy = Policy()
    for path in _layers(folder or Path.cwd()):
        policy = _lay_over(policy, path)
    return _lay_over_environment(policy, os.environ)


def shipped_file() -> Path:
    """The ``registry.toml`` of this installation: inside the package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / FILE
    return inside if inside.exists() else package.parent / FILE


def _layers(folder: Path) -> list[Path]:
    layers = [shipped_file(), config_folder() / FILE]
    nearest = (parent / FILE for parent in (folder, *folder.parents))
    layers += [path for path in nearest if path.is_file()][:1]
    found = [path.resolve() for path in layers if path.is_file()]
    return list(dict.fromkeys(found))


def _lay_over(policy: Policy, path: Path) -> Policy:
    text = path.read_text(encoding="utf-8")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{path} is not TOML: {error}", hint="Mend the line it names.") from error
    reader = _Reader(path, text)
    schema = reader.take(data, "schema", int, default=SCHEMA)
    if schema > SCHEMA:
        raise PolicyError(
            f"{path} has schema {schema}; this zoo reads up to {SCHEMA}",
            hint="Upgrade zoo: pip install -U zoo",
        )
    reader.known(data, {"schema", *_TABLES})
    for name, apply in _TABLES.items():
        if table := reader.take(data, name, dict, default={}):
            policy = apply(policy, table, reader)
    return replace(policy, files=(*policy.files, path))


class _Reader:
    """Takes values out of one file's tables; its errors name the file and the line."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines = text.splitlines()

    def known(self, table: Mapping[str, Any], keys: set[str]) -> None:
        for key in table:
            if key not in keys:
                near = closest(key, keys, 1)
                guess = (
                    f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(keys))}."
                )
                raise self.error(f"has an unknown key {key!r}", key, hint=guess)

    def take(self, table: Mapping[str, Any], key: str, kind: type, default: Any = None) -> Any:
        value = table.get(key, default)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            wanted = {dict: "a table", str: "a string", bool: "true or false", list: "a list"}
            raise self.error(f"{key!r} must be {wanted.get(kind, kind.__name__)}", key)
        return value

    def error(self, message: str, key: str, *, hint: str = "") -> PolicyError:
        found = (n for n, line in enumerate(self._lines, 1) if _mentions(line, key))
        line = next(found, None)
        return PolicyError(f"{self.path}{f', line {line}' if line else ''}: {message}", hint=hint)


def _mentions(line: str, key: str) -> bool:
    code = line.strip()
    if code.startswith("["):
        return key in code.strip("[]").replace('"', "").split(".") or f'"{key}"' in code
    return code.partition("=")[0].strip().strip("\"'") == key


def _resolve(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    reader.known(table, {"order"})
    order = reader.take(table, "order", list, default=list(policy.order))
    if not all(isinstance(name, str) for name in order):
        raise reader.error("'order' must be a list of plugin names", "order")
    return replace(policy, order=tuple(order))


def _aliases(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    own = {alias: reader.take(table, alias, str) for alias in table}
    return replace(policy, aliases={**policy.aliases, **own})


def _plugins(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    disabled = set(policy.disabled)
    for plugin in table:
        options = reader.take(table, plugin, dict)
        reader.known(options, {"enabled"})
        enabled = reader.take(options, "enabled", bool, default=True)
        disabled = disabled - {plugin} if enabled else disabled | {plugin}
    return replace(policy, disabled=frozenset(disabled))


def _weights(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    pins = dict(policy.pins)
    for name in table:
        options = reader.take(table, name, dict)
        reader.known(options, {"sha256"})
        digits = reader.take(options, "sha256", str, default="").lower()
        if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
            raise reader.error("'sha256' must be 64 hexadecimal digits", name)
        pins[name] = digits
    return replace(policy, pins=pins)


def _models(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    runs = dict(policy.runs)
    for name in table:
        options = reader.take(table, name, dict)
        reader.known(options, {"run"})
        runs[name] = reader.path.parent / Path(reader.take(options, "run", str)).expanduser()
    return replace(policy, runs=runs)


_TABLES: Mapping[str, Callable[[Policy, Mapping[str, Any], _Reader], Policy]] = {
    "resolve": _resolve,
    "aliases": _aliases,
    "plugins": _plugins,
    "weights": _weights,
    "models": _models,
}


def _lay_over_environment(policy: Policy, environment: Mapping[str, str]) -> Policy:
    if (plugins := environment.get("ZOO_PLUGINS")) is not None:
        policy = replace(policy, only=frozenset(_names(plugins)))
    if order := environment.get("ZOO_RESOLVE_ORDER"):
        policy = replace(policy, order=tuple(_names(order)))
    return policy


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
