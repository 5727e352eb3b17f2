"""Which weights are meant, and the right file of them on this machine. No torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from zoo.contract.spec import BackboneSpec, Weights
from zoo.errors import WeightsError, WeightsUnavailable
from zoo.registry.run_record import LOCK_FILE, read_run
from zoo.system.files import sha256_once
from zoo.system.network import hub_reachable, reachable
from zoo.system.paths import torch_folder
from zoo.weights import hub_downloads
from zoo.weights.downloads import download, tell
from zoo.weights.first_hashes import first_hash, record_of, remember
from zoo.weights.shelf import cached_file, hub_parts

_WEB = ("http://", "https://")
_HUB = "hf:"


def choose(spec: BackboneSpec, wish: str) -> Weights | None:
    """The weights that ``auto``, ``none``, a tag or a path stands for.

    A run folder stands for what the run wrote, which :func:`fetch` then holds it to; a file for
    whatever is in it.

    Raises:
        WeightsError: There is no such tag and no such file.
        RunError: It is the folder of a run that is damaged.
    """
    if wish == "none":
        return None
    if wish == "auto":
        return spec.default_weights
    for weights in spec.weights:
        if weights.tag == wish:
            return weights
    path = Path(os.path.expanduser(wish))
    if os.path.isfile(path / LOCK_FILE):
        return read_run(path).weights
    if os.path.exists(path):
        inside = path / "model.safetensors"  # a folder that save_pretrained wrote
        return Weights(
            tag="file", uri=str((inside if inside.is_file() else path).resolve()), classes=0
        )
    tags = ", ".join(w.tag for w in spec.weights) or "none published"
    raise WeightsError(
        f"{spec.name} has no weights called {wish!r}, and there is no such file",
        hint=f"Its weights: {tags}. Or give a path, 'auto', or 'none'.",
    )


def fetch(weights: Weights) -> Path:
    """The file (or, for a whole Hub repository, the folder) that holds ``weights``.

    Looks into the usual caches first (torch.hub's, the Hub's), then downloads into them. What is
    returned has been read, and has the hash that it must have: all of the sha256 where a pin, the
    Hub or a run tells it, else the digits that the publisher gives and the hash of the first time.
    A file in a cache that has another is deleted, which is said, and downloaded again.

    Raises:
        WeightsUnavailable: They are not here and their host is out of reach.
        WeightsError: The download failed, or gave another file than it must; or a file cannot be
            read or written.
    """
    try:
        return _found_or_fetched(weights)
    except OSError as error:
        raise WeightsError(
            f"{error.filename or weights.uri} cannot be used: {error.strerror or error}",
            hint="Fix its permissions, or set TORCH_HOME or HF_HOME to another folder.",
        ) from error


def _found_or_fetched(weights: Weights) -> Path:
    path = cached_file(weights)
    if weights.uri.startswith(_WEB):
        if path is not None and _web_file_is_right(path, weights):
            return path
        if not reachable(weights.uri):
            raise _unavailable(weights, path, put=_web_target(weights))
        return _fetch_from_web(weights)
    if weights.uri.startswith(_HUB):
        if path is not None and _hub_files_are_right(path, weights):
            return path
        if not hub_reachable():
            raise _unavailable(weights, path)
        return _fetch_from_hub(weights)
    if path is None:
        raise WeightsError(
            f"there is no file of weights at {weights.uri}",
            hint="Give the path of a .safetensors or .pth file, a tag of 'zoo show NAME', or none.",
        )
    _demand_digits(
        path,
        weights,
        fault="is damaged",
        hint=f"Put the right file back, or take it as it is with --weights {path}.",
    )
    return path


def file_sha256(path: Path) -> str:
    """All 64 hexadecimal digits of a file's sha256; of a folder, those of its weights file."""
    if path.is_dir():
        files = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))
        if not files:
            return ""
        path = files[0]
    return sha256_once(path)


def _web_target(weights: Weights) -> Path:
    return torch_folder() / Path(urlsplit(weights.uri).path).name


def _known_digits(weights: Weights) -> str:
    """The digits that a file from the web must have: those of its first time, if they are more.

    What is published or pinned now goes before what was recorded earlier.
    """
    first = first_hash(weights.uri)
    return first if first.startswith(weights.sha256) else weights.sha256


def _fetch_from_web(weights: Weights) -> Path:
    url, target, known = weights.uri, _web_target(weights), _known_digits(weights)
    if_other = "Try again. If it stays so, its publisher has put another file there."
    if len(weights.sha256) == 64:
        if_other = "Try again. If it stays so, correct the pin in registry.toml, if there is one."
    elif known != weights.sha256:
        if_other = f"If the new file is right: delete {record_of(url)}, which has the old hash."
    with _alone(target):
        if not (target.exists() and _web_file_is_right(target, weights)):
            remember(url, download(url, target, digits=known, if_other=if_other))
    return target


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """While no other process downloads ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=0.5)
    except Timeout:
        tell(f"Another process is downloading {target}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _web_file_is_right(path: Path, weights: Weights) -> bool:
    """Whether a file of torch.hub's cache has the digits it must have; a damaged one is deleted.

    Raises:
        WeightsError: It is whole, but the file of another time; or it cannot be deleted.
    """
    found, known = file_sha256(path), _known_digits(weights)
    if found.startswith(known):
        remember(weights.uri, found)
        return True
    again = "delete the file, and the same command downloads it again"
    if found == first_hash(weights.uri):
        raise WeightsError(
            f"{path} is what its host gave, and not the file that is pinned or published: its "
            f"sha256 begins with {found[:12]}, the right one with {known[:12]}",
            hint=f"Correct the pin in registry.toml, or {again}.",
        )
    if found.startswith(weights.sha256):
        raise WeightsError(
            f"{path} is not what it was when {weights.uri} was first downloaded: its sha256 "
            f"begins with {found[:12]}, then with {known[:12]}",
            hint=f"If it is right, delete {record_of(weights.uri)}; else {again}.",
        )
    _delete([path], lambda: path.unlink(missing_ok=True))
    return False


def _fetch_from_hub(weights: Weights) -> Path:
    path = hub_downloads.download(*hub_parts(weights.uri))
    if not _hub_files_are_right(path, weights):
        raise WeightsError(
            f"the Hub's {weights.uri} came with another content than it must have",
            hint="Run the same command again: what was wrong is deleted.",
        )
    return path


def _hub_files_are_right(path: Path, weights: Weights) -> bool:
    """Whether the files have the hashes that the Hub has told; those that have not are deleted.

    Raises:
        WeightsError: They are what the Hub gives and not what a pin demands; or they are wrong
            and cannot be deleted.
    """
    if wrong := hub_downloads.damaged(path):
        _delete(wrong, lambda: hub_downloads.remove(path, wrong))
        return False
    _demand_digits(
        path,
        weights,
        fault="is what the Hub gives, and not the pinned file",
        hint=f"Change the pin in registry.toml, or take the file as it is with --weights {path}.",
    )
    return True


def _demand_digits(path: Path, weights: Weights, *, fault: str, hint: str) -> None:
    """Compare the hash with the digits that are known, where there are any."""
    found = file_sha256(path) if weights.sha256 else ""
    if not found.startswith(weights.sha256):
        right = weights.sha256[:12]
        raise WeightsError(
            f"{path} {fault}: its sha256 begins with {found[: len(right)]}, the right one with "
            f"{right}",
            hint=hint,
        )


def _delete(wrong: list[Path], deletion: Callable[[], None]) -> None:
    names = ", ".join(map(str, wrong))
    try:
        deletion()
    except OSError as error:
        raise WeightsError(
            f"{names} is damaged: its sha256 is another than the published one",
            hint=f"It cannot be deleted ({error.strerror}): do that, and run the command again.",
        ) from error
    tell(f"{names} was damaged (its sha256 is another than the published one) and is deleted")


def _unavailable(
    weights: Weights, damaged: Path | None, *, put: Path | None = None
) -> WeightsUnavailable:
    what = f"the weights {weights.tag!r} are not on this machine"
    if damaged is not None:
        what = f"the weights {weights.tag!r} at {damaged} were damaged and are deleted"
    place = f", put the file at {put}" if put else ""
    return WeightsUnavailable(
        f"{what}, and {weights.uri} is out of reach",
        hint="Give --weights PATH for a local file, --weights none to start from random ones"
        f"{place}.",
    )
