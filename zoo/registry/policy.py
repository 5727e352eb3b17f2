"""``registry.toml``: short names, resolution order, switched-off plugins, pins, published runs.

Policy comes in layers, and a later one wins line by line: the file that ships with zoo, the
user's, the nearest one from the working directory up, and ``ZOO_*`` variables
(``ZOO_PLUGINS=torchvision,timm``: these plugins alone; ``ZOO_NO_PLUGIN=acme``: all but these;
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
from zoo.registry.foreign_registry import foreign_sign
from zoo.registry.toml_lines import salvaged, stated_key
from zoo.system.paths import config_folder
from zoo.system.small_files import read_small

SCHEMA = 1
FILE = "registry.toml"
WITHOUT = "ZOO_NO_PLUGIN"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the layers together say.

    Attributes:
        order: Plugins in the order in which a bare name is looked up.
        aliases: Short names to canonical names, in the order of the files.
        disabled: Plugins that are switched off.
        only: If not ``None``, the only plugins that are switched on.
        without: Plugins that are switched off for this command.
        pins: Canonical names (or ``name.tag``) to the sha256 that their weights must have.
        runs: Names to run folders that are published as backbones.
        run_files: Names of published runs to the files that publish them.
        files: The files that were read, the shipped one first.
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
        """Whether ``plugin`` is switched off."""
        return bool(self.why_disabled(plugin))

    def why_disabled(self, plugin: str) -> str:
        """What switches ``plugin`` off; the empty string if nothing does."""
        if plugin in self.without:
            return "switched off by --no-plugin or ZOO_NO_PLUGIN"
        if self.only is not None and plugin not in self.only:
            return "switched off by ZOO_PLUGINS, which does not name it"
        return "switched off by registry.toml" if plugin in self.disabled else ""


def load_policy(*, folder: Path | None = None) -> Policy:
    """All layers, read and laid over each other.

    Args:
        folder: Where the search for the nearest file starts; the working directory by default.

    Raises:
        PolicyError: A file is not TOML, or holds an unknown key or a value of the wrong kind.
    """
    policy = Policy()
    for path in _layers(folder):
        policy = lay_over(policy, path)
    return _lay_over_environment(policy, os.environ)


def shipped_file() -> Path:
    """The ``registry.toml`` of this installation: inside the package, or beside it in a checkout."""
    inside = Path(__file__).with_name(FILE)
    return inside if inside.exists() else inside.parents[2] / FILE


def user_file() -> Path:
    """The user's own ``registry.toml``, which need not exist."""
    return config_folder() / FILE


def _layers(folder: Path | None) -> list[Path]:
    # os.path.isfile, unlike Path.is_file, takes a folder that may not be read for an absent file
    own = [path.resolve() for path in (shipped_file(), user_file()) if os.path.isfile(path)]
    return list(dict.fromkeys([*own, *_nearest(folder, own)]))


def _nearest(folder: Path | None, own: list[Path]) -> list[Path]:
    """The first file from ``folder`` up that is not another program's."""
    try:
        start = (folder or Path.cwd()).absolute()
    except FileNotFoundError:  # the working directory has been removed
        return []
    for path in (parent / FILE for parent in (start, *start.parents)):
        if not os.path.isfile(path):
            continue
        if path.resolve() in own or not (sign := _foreign_sign(path)):
            return [path.resolve()]
        warnings.warn(
            f"{path} is ignored, as another program's: {sign}. If it is zoo's, write "
            f"'schema = {SCHEMA}' at its top",
            stacklevel=2,
        )
    return []


def _foreign_sign(path: Path) -> str:
    """What shows that a file is not zoo's; the empty string if nothing does."""
    try:
        content = read_small(path)
    except OSError as error:
        others = os.name == "posix" and os.stat(path).st_uid != os.geteuid()
        # The user's own is complained of where it is read.
        return f"it cannot be read ({error.strerror or error})" if others else ""
    try:
        return foreign_sign(tomllib.loads(_decoded(content)))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        text = content.decode("utf-8-sig", errors="replace")
        found = salvaged(text)
        fault = f"it is not valid TOML ({error})"
        return "" if found and not foreign_sign(found) else fault


def _decoded(content: bytes) -> str:
    return content.decode("utf-8-sig").replace("\r\n", "\n")


def lay_over(policy: Policy, path: Path) -> Policy:
    """``policy`` with what the file at ``path`` says in its place.

    Raises:
        PolicyError: It is not TOML, or holds an unknown key or a value of the wrong kind.
    """
    try:
        text = _decoded(read_small(path))
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{path} is not TOML: {error}", hint="Fix the line it names.") from error
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path} is not UTF-8: {error}", hint="Save it as UTF-8.") from error
    except OSError as error:
        raise PolicyError(
            f"{path} cannot be read: {error.strerror or error}", hint="Fix its permissions."
        ) from error
    reader = _Reader(path, text)
    schema = reader.take(data, "schema", kind=int, default=SCHEMA)
    if schema > SCHEMA:
        raise PolicyError(
            f"{path} has schema {schema}; this zoo reads up to {SCHEMA}",
            hint="Upgrade zoo: pip install -U zoo-finetune",
        )
    reader.known(data, {"schema", *_TABLES})
    for name, apply in _TABLES.items():
        if table := reader.take(data, name, kind=dict, default={}):
            policy = apply(policy, table, reader)
    return replace(policy, files=(*policy.files, path))


class _Reader:
    """Takes values out of one file's tables; its errors name the file and the line."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._text = text

    def known(self, table: Mapping[str, Any], keys: set[str], *where: str) -> None:
        """Refuse a key of ``table``, which lies at ``where`` in the file, that is not in ``keys``."""
        for key in table:
            if key not in keys:
                near = closest(key, keys, 1)
                known = f"Known: {', '.join(sorted(keys))}."
                guess = f"Did you mean {near[0]!r}? {known}" if near else known
                raise self.error(f"unknown key {key!r}", *where, key, hint=guess)

    def take(self, table: Mapping[str, Any], *where: str, kind: type, default: Any = None) -> Any:
        """The value of the last of ``where`` in ``table``, or the default.

        Raises:
            PolicyError: It is of another kind, or absent and without a default.
        """
        key = where[-1]
        value = table.get(key, default)
        if value is None:
            raise self.error(f"{key!r} is missing", *where[:-1], hint=f"Add {key} = …")
        if type(value) is not kind:
            raise self.error(
                f"{key!r} must be {_KINDS[kind]}", *where, hint=f"Fix {key} = {value!r}."
            )
        return value

    def error(self, message: str, *where: str, hint: str) -> PolicyError:
        line = self._line(where)
        return PolicyError(f"{self.path}{f', line {line}' if line else ''}: {message}", hint=hint)

    def _line(self, where: tuple[str, ...]) -> int | None:
        """The line that states the key ``where``, or the nearest one around it."""
        best: tuple[int, int | None] = (0, None)
        table: tuple[str, ...] = ()
        for number, line in enumerate(self._text.splitlines(), 1):
            code = line.strip()
            stated: tuple[str, ...] = ()
            if code.startswith("["):
                stated = table = stated_key(code)
            elif "=" in code:
                stated = (*table, *stated_key(f"{code.partition('=')[0]}= 0"))
            common = min(len(stated), len(where))
            if stated[:common] == where[:common] and common > best[0]:
                best = (common, number)
        return best[1]


_KINDS = {
    dict: "a table",
    str: "a string",
    bool: "true or false",
    list: "a list of names",
    int: "a whole number",
}


def _resolve(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    reader.known(table, {"order"}, "resolve")
    order = reader.take(table, "resolve", "order", kind=list, default=list(policy.order))
    if not all(isinstance(name, str) for name in order):
        raise reader.error(
            "'order' must be a list of names", "resolve", "order", hint=f"Fix order = {order!r}."
        )
    return replace(policy, order=tuple(order))


def _aliases(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    own = {alias: reader.take(table, "aliases", alias, kind=str) for alias in table}
    return replace(policy, aliases={**policy.aliases, **own})


def _plugins(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    disabled = set(policy.disabled)
    for plugin in table:
        options = reader.take(table, "plugins", plugin, kind=dict)
        reader.known(options, {"enabled"}, "plugins", plugin)
        before = plugin not in disabled
        enabled = reader.take(options, "plugins", plugin, "enabled", kind=bool, default=before)
        disabled = disabled - {plugin} if enabled else disabled | {plugin}
    return replace(policy, disabled=frozenset(disabled))


def _weights(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    pins = dict(policy.pins)
    for name in table:
        options = reader.take(table, "weights", name, kind=dict)
        reader.known(options, {"sha256"}, "weights", name)
        digits = reader.take(options, "weights", name, "sha256", kind=str).lower()
        if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
            raise reader.error(
                f"'sha256' must be 64 hexadecimal digits, and {digits!r} is not",
                "weights",
                name,
                "sha256",
                hint="'sha256sum FILE' prints them.",
            )
        pins[name] = digits
    return replace(policy, pins=pins)


def _models(policy: Policy, table: Mapping[str, Any], reader: _Reader) -> Policy:
    runs, files = dict(policy.runs), dict(policy.run_files)
    for name in table:
        options = reader.take(table, "models", name, kind=dict)
        reader.known(options, {"run"}, "models", name)
        folder = reader.take(options, "models", name, "run", kind=str)
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


def _lay_over_environment(policy: Policy, environment: Mapping[str, str]) -> Policy:
    if (plugins := environment.get("ZOO_PLUGINS")) is not None:
        policy = replace(policy, only=frozenset(_names(plugins)))
    if without := environment.get(WITHOUT):
        policy = replace(policy, without=frozenset(_names(without)))
    if order := environment.get("ZOO_RESOLVE_ORDER"):
        policy = replace(policy, order=tuple(_names(order)))
    return policy


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
