"""Create a new plugin: an installable distribution with passing tests, as a starting point.

``common`` has the files of every plugin, ``image`` and ``text`` a network for that modality. They
are Jinja templates; ``package`` in a path is replaced by the package's name.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zoo.errors import UsageError
from zoo.registry.discovery import CORE
from zoo.registry.entry_points import installed
from zoo.version import __version__

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")

TEMPLATES = Path(__file__).parent


def distribution_name(name: str) -> str:
    """Return the name of the distribution and of its folder."""
    return f"zoo-{name.replace('_', '-')}"


def reserved_names() -> set[str]:
    """The namespaces of the plugins that come with zoo."""
    return {source.name for source in installed() if source.distribution == CORE}


def write_plugin(name: str, modality: str, parent: Path) -> Path:
    """Write the distribution of a plugin into a new folder in ``parent``.

    Args:
        name: The plugin's name, which is its namespace.
        modality: The kind of network it begins with.
        parent: The folder that the distribution's folder goes into.

    Returns:
        The distribution's folder.

    Raises:
        UsageError: The name is not valid or reserved, or the folder exists or cannot be written.
    """
    _require_valid(name)
    folder = parent / distribution_name(name)
    with _new_folder(folder):
        for place, text in _rendered(name, modality):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text, encoding="utf-8", newline="\n")
    return folder


def _require_valid(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid plugin name",
            hint="Use lower-case letters and digits, and '-' or '_' between them.",
        )
    if name in reserved_names():
        raise UsageError(
            f"the plugin name {name!r} is reserved: zoo's own plugin has it",
            hint=f"Use another name, e.g. my-{name}.",
        )


def _rendered(name: str, modality: str) -> Iterator[tuple[str, str]]:
    """The path and text of each file."""
    import jinja2

    package = f"{name.replace('-', '_')}_zoo"
    facts = {
        "name": name,
        "package": package,
        "distribution": distribution_name(name),
        "core": __version__,
    }
    environment = jinja2.Environment(
        keep_trailing_newline=True, undefined=jinja2.StrictUndefined, autoescape=False
    )
    for root in (TEMPLATES / "common", TEMPLATES / modality):
        for template in sorted(root.rglob("*.j2")):
            place = str(template.relative_to(root).with_suffix("")).replace("package", package)
            text = template.read_text(encoding="utf-8")
            yield place, environment.from_string(text).render(facts)


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Create a folder and its parents, and remove them again if the block fails.

    Raises:
        UsageError: It exists, or cannot be written.
    """
    above = [upper for upper in folder.parents if not upper.exists()]
    claimed = False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()  # fails if another process creates it at the same time
        claimed = True
        yield
    except BaseException as error:
        if claimed:
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # something else may be there by now
            for upper in above:
                upper.rmdir()
        if isinstance(error, FileExistsError) and not claimed:
            raise UsageError(
                f"{error.filename} already exists", hint="Use another name, or remove it."
            ) from error
        if isinstance(error, OSError):
            raise UsageError(
                f"failed to write {folder}: {error.strerror or error}",
                hint="Use another path with --output DIR.",
            ) from error
        raise
