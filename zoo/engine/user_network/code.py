"""The code of a user's network: a function in a file or module, and its hash.

A run folder records it, but is only data: code that it names is executed only if the user names it
too, or has named the same code on this machine before (:func:`trust`).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
import linecache
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from zoo.errors import UsageError, did_you_mean, first_line
from zoo.system import files
from zoo.system.environment import importable
from zoo.system.paths import config_folder

_TYPED = re.compile(r"(?P<place>.+\.py|[A-Za-z_]\w*(\.\w+)+):(?P<name>[^/\\:]+)")
"""``my_file.py:build_net`` or ``package.module:build_net``; no scheme of a name has a dot."""


@dataclass(frozen=True, kw_only=True)
class CodeSource:
    """The function or class that makes a network.

    Attributes:
        name: Its qualified name within the module; for a ``torch.nn.Module``, that of its class.
        module: The module; empty for a file that is executed by its path.
        file: Path of the file, absolute; empty if there is none.
        sha256: Hash of the file; in a script or notebook, of the function alone.
        callable: Whether calling it without arguments makes the network.
    """

    name: str
    module: str = ""
    file: str = ""
    sha256: str = ""
    callable: bool = True

    @property
    def importable(self) -> bool:
        """Whether another process can find it: not in a script or notebook, not in a function."""
        plain = all(part.isidentifier() for part in self.name.split("."))
        return self.callable and bool(self.file) and self.module != "__main__" and plain

    @property
    def typed(self) -> str:
        """The name on the command line: ``my_file.py:build_net`` or ``package.module:build_net``."""
        place = self.module if self.module and self.module != "__main__" else self.file
        return f"{place or 'FILE.py'}:{self.name}"

    @property
    def short(self) -> str:
        """The same without folders."""
        place = self.module if self.module and self.module != "__main__" else Path(self.file).name
        return f"{place}:{self.name}" if place else self.name

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            TypeError: It is not.
        """
        source = cls(**{key: data[key] for key in cls.__annotations__ if key in data})
        texts = (source.name, source.module, source.file, source.sha256)
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("its code is not named by strings")
        return source


def is_typed(given: Any) -> bool:
    """Whether ``given`` names a function in a file or module, rather than a backbone."""
    return isinstance(given, str) and _TYPED.fullmatch(given) is not None


def source_of(made_by: Callable[..., Any], *, callable: bool = True) -> CodeSource:  # noqa: A002
    """Where a function or class is defined."""
    module = getattr(made_by, "__module__", None) or ""
    name = getattr(made_by, "__qualname__", type(made_by).__qualname__)
    file = _file_of(made_by)
    return CodeSource(
        name=name,
        module="" if module.startswith(_PREFIX) else module,
        file=file,
        sha256=_sha256_of_code(made_by, file, module),
        callable=callable and _found_again(made_by, module, name),
    )


def _found_again(made_by: Callable[..., Any], module: str, name: str) -> bool:
    """Whether its module has it under its name; false for methods, partials and inner functions."""
    try:
        found: Any = reduce(getattr, name.split("."), sys.modules.get(module))
    except AttributeError:
        return False
    return found is made_by


def _file_of(made_by: Callable[..., Any]) -> str:
    try:
        file = inspect.getsourcefile(inspect.unwrap(made_by))
    except (OSError, TypeError):  # in a notebook; a built-in, or an object with __call__
        return ""
    return str(Path(file).absolute()) if file and Path(file).is_file() else ""


def _sha256_of_code(made_by: Callable[..., Any], file: str, module: str) -> str:
    if file and module != "__main__":
        return files.sha256_of(Path(file))
    linecache.checkcache()
    try:
        code = inspect.getsource(made_by)
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(code.encode(errors="surrogatepass")).hexdigest()


def find_code(typed: str) -> Callable[..., Any]:
    """Import ``FILE.py:NAME`` or ``MODULE:NAME``, which the user has named.

    Raises:
        UsageError: The file, module or function is not found, or fails while it is imported.
    """
    place, _, name = typed.rpartition(":")
    if not place:
        raise UsageError(
            f"{typed!r} does not name a function",
            hint="Write FILE.py:NAME or MODULE:NAME, e.g. my_file.py:build_net.",
        )
    module = _executed(Path(place), typed) if place.endswith(".py") else _imported(place, typed)
    return _attribute(module, name, typed)


def code_at(source: CodeSource) -> Callable[..., Any]:
    """Import the code of ``source``, from its own file.

    Raises:
        UsageError: It does not exist any more, or importing it fails.
    """
    if not source.module:
        return find_code(f"{source.file}:{source.name}")
    parts = source.module.split(".")
    file = Path(source.file)
    root = file.parents[len(parts) - (file.name != "__init__.py")]
    with importable(root):
        module = _imported(source.module, source.typed)
    if getattr(module, "__file__", None) != source.file:
        raise UsageError(
            f"the module {source.module} is another file here: {getattr(module, '__file__', '')}, "
            f"not {source.file}",
            hint=f"Name the file instead: {source.file}:{source.name}",
        )
    return _attribute(module, source.name, source.typed)


_PREFIX = "zoo_network_"


def _executed(path: Path, typed: str) -> ModuleType:
    path = path.expanduser().absolute()
    if not path.is_file():
        raise UsageError(
            f"{path} does not exist",
            hint="Write FILE.py:NAME, e.g. my_file.py:build_net.",
        )
    name = f"{_PREFIX}{path.stem}_{files.sha256_of(path)[:12]}"
    if (loaded := sys.modules.get(name)) and loaded.__file__ == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look there
    try:
        with importable(path.parent):
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _failed(typed, error) from error
    return module


def _imported(name: str, typed: str) -> ModuleType:
    try:
        with importable(Path.cwd()):
            return importlib.import_module(name)
    except Exception as error:
        raise _failed(typed, error) from error


def _failed(typed: str, error: Exception) -> UsageError:
    return UsageError(
        f"{typed} cannot be imported: {first_line(error, kind=True)}",
        hint="Write FILE.py:NAME or MODULE:NAME, e.g. my_file.py:build_net.",
    )


def _attribute(module: ModuleType, name: str, typed: str) -> Callable[..., Any]:
    try:
        found: Any = reduce(getattr, name.split("."), module)
    except AttributeError as error:
        callables = [each for each in vars(module) if callable(getattr(module, each))]
        raise UsageError(
            f"{typed}: there is no {name!r} in {module.__file__}.{did_you_mean(name, callables)}",
            hint="Name a function that returns the network, e.g. my_file.py:build_net.",
        ) from error
    made_by: Callable[..., Any] = found
    return made_by


# -- trusted code -------------------------------------------------------------------------------


def trust(source: CodeSource) -> None:
    """Record code that the user has named, so that its runs can be opened without naming it again."""
    if not source.importable:
        return
    with suppress(OSError):  # it has to be named again then
        files.write_text(_trusted_file(source), json.dumps(source.to_json(), indent=2) + "\n")


def is_trusted(source: CodeSource) -> bool:
    """Whether the user has named this code before: same file, same contents, same name."""
    return source.importable and _trusted_file(source).is_file() and not has_changed(source)


def has_changed(source: CodeSource) -> bool:
    """Whether the file is gone, or has other contents."""
    try:
        return files.sha256_of(Path(source.file)) != source.sha256
    except OSError:
        return True


def _trusted_file(source: CodeSource) -> Path:
    key = json.dumps([source.name, source.module, source.file, source.sha256])
    return config_folder() / "networks" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
