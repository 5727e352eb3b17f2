"""``registry.toml``: short names, resolution order, disabled plugins, pins, published runs.

Settings are merged from layers, a later one overriding single entries: the file shipped with zoo,
the user's file, the nearest file from the working directory up, and ``ZOO_*`` variables
(``ZOO_PLUGINS=torchvision,timm``: only these plugins; ``ZOO_NO_PLUGIN=acme``: all but these;
``ZOO_RESOLVE_ORDER=timm,torchvision``).
"""

from __future__ import annotations

import os
import tomllib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo.errors import PolicyError, closest
from zoo.registry.foreign_registry import foreign_reason
from zoo.registry.toml_recovery import key_of_line, parse_valid_lines
from zoo.system.paths import config_folder
from zoo.system.small_files import read_small

SCHEMA = 1
FILE = "registry.toml"
WITHOUT = "ZOO_NO_PLUGIN"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The merged settings of all layers.

    Attributes:
        order: Plugins in the order in which bare names are looked up.
        aliases: Short names to canonical names, in the order of the files.
        disabled: Disabled plugins.
        only: If not ``None``, the only enabled plugins.
        without: Plugins disabled for this command.
        pins: Canonical names (or ``name.tag``) to the required sha256 of their weights.
        runs: Names of published runs to run folders.
        run_files: Names of published runs to the files that define them.
        files: The files read, the shipped one first.
    """

    order: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    pins: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, Path] = field(default_factory=dict)
    run_files: Mapping[str, Path] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    def is_disabled(self, plugin: str) -> bool:
        """Whether ``plugin`` is disabled."""
        return bool(self.why_disabled(plugin))

    def why_disabled(self, plugin: str) -> str:
        """Return why ``plugin`` is disabled; empty if it is not."""
        if plugin in self.without:
            return "named by --no-plugin or ZOO_NO_PLUGIN"
        if self.only is not None and plugin not in self.only:
            return "not listed in ZOO_PLUGINS"
        return "enabled = false in registry.toml" if plugin in self.disabled else ""


def load_policy(*, folder: Path | None = None) -> Policy:
    """Read and merge all layers.

    Args:
        folder: Where to start looking for the nearest file; the working directory by default.

    Raises:
        PolicyError: A file is not valid TOML, or has an unknown key or a value of the wrong type.
    """
    policy = Policy()
    for path in _layers(folder):
        policy = apply_file(policy, path)
    return _apply_environment(policy, os.environ)


def shipped_file() -> Path:
    """Return the shipped ``registry.toml``: in the package, or beside it in a checkout."""
    inside = Path(__file__).with_name(FILE)
    return inside if inside.exists() else inside.parents[2] / FILE


def user_file() -> Path:
    """Return the path of the user's ``registry.toml``, which need not exist."""
    return config_folder() / FILE


def _layers(folder: Path | None) -> list[Path]:
    # os.path.isfile, unlike Path.is_file, does not raise for an unreadable folder
    fixed = [path.resolve() for path in (shipped_file(), user_file()) if os.path.isfile(path)]
    return list(dict.fromkeys([*fixed, *_nearest(folder, fixed)]))


def _nearest(folder: Path | None, fixed: list[Path]) -> list[Path]:
    """Return the first file from ``folder`` up that does not belong to another program."""
    try:
        start = (folder or Path.cwd()).absolute()
    except FileNotFoundError:  # the working directory has been removed
        return []
    for path in (parent / FILE for parent in (start, *start.parents)):
        if not os.path.isfile(path):
            continue
        if path.resolve() in fixed or not (reason := _foreign_reason(path)):
            return [path.resolve()]
        warnings.warn(
            f"{path} is ignored: it seems to belong to another program ({reason}). If it is zoo's, "
            f"add the line 'schema = {SCHEMA}' at the top",
            stacklevel=2,
        )
    return []


def _foreign_reason(path: Path) -> str:
    """Return why a file belongs to another program; empty if it seems to be zoo's."""
    try:
        content = read_small(path)
    except OSError as error:
        other_user = os.name == "posix" and os.stat(path).st_uid != os.geteuid()
        # For the user's own file this is an error when it is read.
        return f"it cannot be read: {error.strerror or error}" if other_user else ""
    try:
        return foreign_reason(tomllib.loads(_decoded(content)))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        text = content.decode("utf-8-sig", errors="replace")
        found = parse_valid_lines(text)
        reason = f"it is not valid TOML: {error}"
        return "" if found and not foreign_reason(found) else reason


def _decoded(content: bytes) -> str:
    return content.decode("utf-8-sig").replace("\r\n", "\n")


def apply_file(policy: Policy, path: Path) -> Policy:
    """Return ``policy`` overridden by the settings in a file.

    Raises:
        PolicyError: The file is not valid TOML, or has an unknown key or a value of the wrong type.
    """
    try:
        text = _decoded(read_small(path))
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(
            f"{path} is not valid TOML: {error}", hint="Fix the line named above."
        ) from error
    except UnicodeDecodeError as error:
        raise PolicyError(
            f"{path} is not valid UTF-8: {error}", hint="Save it as UTF-8."
        ) from error
    except OSError as error:
        raise PolicyError(
            f"{path} cannot be read: {error.strerror or error}", hint="Fix its permissions."
        ) from error
    reader = _Reader(path, text)
    schema = reader.get(data, "schema", kind=int, default=SCHEMA)
    if schema > SCHEMA:
        raise PolicyError(
            f"{path} has schema {schema}; this version of zoo supports up to {SCHEMA}",
            hint="Upgrade zoo: pip install -U zoo-finetune",
        )
    reader.check_keys(data, {"schema", *_TABLES})
    for name, apply in _TABLES.items():
        if table := reader.get(data, name, kind=dict, default={}):
            policy = apply(policy, table, reader)
    return replace(policy, files=(*policy.files, path))


class _Reader:
    """Reads values from the tables of a file; errors name the file and the line."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._text = text

    def check_keys(self, table: Mapping[str, Any], keys: set[str], *where: str) -> None:
        """Raise for a key of the table at ``where`` that is not in ``keys``."""
        for key in table:
            if key not in keys:
                near = closest(key, keys, 1)
                known = f"Valid keys: {', '.join(sorted(keys))}."
                guess = f"Did you mean {near[0]!r}? {known}" if near else known
                raise self.error(f"unknown key {key!r}", *where, key, hint=guess)

    def get(self, table: Mapping[str, Any], *where: str, kind: type, default: Any = None) -> Any:
        """Return the value of the last key of ``where`` in ``table``, or the default.

        Raises:
            PolicyError: The value has another type, or is missing and has no default.
        """
        key = where[-1]
        value = table.get(key, default)
        if value is None:
            raise self.error(f"{key!r} is missing", *where[:-1], hint=f"Add: {key} = …")
        if type(value) is not kind:
            raise self.error(
                f"{key!r} must be {_KINDS[kind]}", *where, hint=f"Fix {key} = {value!r}."
            )
        return value

    def error(self, message: str, *where: str, hint: str) -> PolicyError:
        line = self._line(where)
        return PolicyError(f"{self.path}{f', line {line}' if line else ''}: {message}", hint=hint)

    def _line(self, where: tuple[str, ...]) -> int | None:
        """Return the line number of the key ``where``, or of the innermost table around it."""
        best: tuple[int, int | None] = (0, None)
        table: tuple[str, ...] = ()
        for number, line in enumerate(self._text.splitlines(), 1):
            code = line.strip()
            key: tuple[str, ...] = ()
            if code.startswith("["):
                key = table = key_of_line(code)
            elif "=" in code:
                key = (*table, *key_of_line(f"{code.partition('=')[0]}= 0"))
            common = min(len(key), len(where))
            if key[:common] == where[:common] and common > best[0]:
                best = (common, number)
        return best[1]


_KINDS = {
    dict: "a table",
    str: "a string",
    bool: "true or false",
    list: "a list of names",
    int: "an integer",
}


def _resolve(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    reader.check_keys(table, {"order"}, "resolve")
    order = reader.get(table, "resolve", "order", kind=list, default=list(policy.order))
    if not all(isinstance(name, str) for name in order):
        raise reader.error(
            "'order' must be a list of names", "resolve", "order", hint=f"Fix order = {order!r}."
        )
    return replace(policy, order=tuple(order))


def _aliases(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    aliases = {alias: reader.get(table, "aliases", alias, kind=str) for alias in table}
    return replace(policy, aliases={**policy.aliases, **aliases})


def _plugins(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    disabled = set(policy.disabled)
    for plugin in table:
        options = reader.get(table, "plugins", plugin, kind=dict)
        reader.check_keys(options, {"enabled"}, "plugins", plugin)
        default = plugin not in disabled
        enabled = reader.get(options, "plugins", plugin, "enabled", kind=bool, default=default)
        disabled = disabled - {plugin} if enabled else disabled | {plugin}
    return replace(policy, disabled=frozenset(disabled))


def _weights(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    pins = dict(policy.pins)
    for name in table:
        options = reader.get(table, "weights", name, kind=dict)
        reader.check_keys(options, {"sha256"}, "weights", name)
        digits = reader.get(options, "weights", name, "sha256", kind=str).lower()
        if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
            raise reader.error(
                f"'sha256' must be 64 hexadecimal digits, got {digits!r}",
                "weights",
                name,
                "sha256",
                hint="To compute it: sha256sum FILE",
            )
        pins[name] = digits
    return replace(policy, pins=pins)


def _models(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    runs, files = dict(policy.runs), dict(policy.run_files)
    for name in table:
        options = reader.get(table, "models", name, kind=dict)
        reader.check_keys(options, {"run"}, "models", name)
        folder = reader.get(options, "models", name, "run", kind=str)
        runs[name] = reader.path.parent / Path(os.path.expanduser(folder))
        files[name] = reader.path
    return replace(policy, runs=runs, run_files=files)


_TABLES: Mapping[str, Callable[[Policy, Mapping[str, Any], _Reader], Policy]] = {
    "resolve": _resolve,
    "aliases": _aliases,
    "plugins": _plugins,
    "weights": _weights,
    "models": _models,
}


def _apply_environment(policy: Policy, environment: Mapping[str, str]) -> Policy:
    if (plugins := environment.get("ZOO_PLUGINS")) is not None:
        policy = replace(policy, only=frozenset(_names(plugins)))
    if without := environment.get(WITHOUT):
        policy = replace(policy, without=frozenset(_names(without)))
    if order := environment.get("ZOO_RESOLVE_ORDER"):
        policy = replace(policy, order=tuple(_names(order)))
    return policy


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
