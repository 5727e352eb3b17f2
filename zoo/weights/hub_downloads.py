"""Download from the Hub into its client's cache, and verify the files. No torch.

The client compares sizes only. Blobs in its cache are named by their sha256 (large files) or git
hash (small ones), so both can be verified offline.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import WeightsError
from zoo.system.files import open_regular, sha256_once
from zoo.system.hub import hub_error_in_words
from zoo.system.paths import hub_folder

_SMALL = ("*.json", "*.txt", "*.model")


def download(repo: str, file: str | None) -> Path:
    """Download one file of a repository, or a folder with config, tokenizer and weights.

    The weights are downloaded last, so that a folder with weights is complete.

    Raises:
        WeightsError: The download failed.
    """
    import huggingface_hub

    try:
        if file is not None:
            return Path(huggingface_hub.hf_hub_download(repo, file, cache_dir=hub_folder()))
        weights = _weights_pattern(huggingface_hub.HfApi().list_repo_files(repo), repo)
        small = huggingface_hub.snapshot_download(
            repo, allow_patterns=list(_SMALL), cache_dir=hub_folder()
        )
        return Path(
            huggingface_hub.snapshot_download(
                repo, revision=Path(small).name, allow_patterns=weights, cache_dir=hub_folder()
            )
        )
    except WeightsError:
        raise
    except Exception as error:
        # The client does not wrap the errors of its HTTP library, which depends on its version.
        what = f"{repo}/{file}" if file else repo
        hint = "Try again, or use a local file or folder with --weights PATH."
        message, hint = hub_error_in_words(error, repo, doing=f"downloading {what}", hint=hint)
        raise WeightsError(message, hint=hint) from error


def damaged(path: Path) -> list[Path]:
    """Return the damaged files at ``path`` (a file or a snapshot).

    Empty if the cache has plain files instead of links: their hashes are not known.
    """
    return [file for file in _files(path) if not _is_intact(file)]


def remove(path: Path, wrong: list[Path]) -> None:
    """Delete damaged files from the cache, with all links of the snapshot.

    Intact blobs are kept, so that the next download fetches only what is missing.

    Raises:
        OSError: The files cannot be deleted.
    """
    for link in wrong:
        place: Path | None = link
        while place is not None:
            following = place.parent / os.readlink(place) if place.is_symlink() else None
            place.unlink(missing_ok=True)
            place = following
    if path.is_dir():
        for link in path.rglob("*"):
            if link.is_symlink():
                link.unlink()


def _weights_pattern(files: list[str], repo: str) -> str:
    """Return a glob pattern of the weights files, preferring safetensors."""
    for pattern, suffix in (("*.safetensors", ".safetensors"), ("pytorch_model*.bin", ".bin")):
        if any(file.endswith(suffix) for file in files):
            return pattern
    raise WeightsError(
        f"the repository {repo} has no .safetensors or .bin weights",
        hint="'zoo list' lists available models.",
    )


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    names = sorted(entry for entry in path.iterdir() if entry.is_file())
    safe = any(name.suffix == ".safetensors" for name in names)
    wanted = {".json", ".txt", ".model", ".safetensors" if safe else ".bin"}
    yield from (name for name in names if name.suffix in wanted)


def _is_intact(file: Path) -> bool:
    """Whether the content has the hash in the blob's name, if there is one."""
    name = os.path.basename(os.readlink(file)) if file.is_symlink() else ""
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return sha256_once(file) == name
    if re.fullmatch(r"[0-9a-f]{40}", name):
        with open_regular(file) as content:
            git = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
            while chunk := content.read(2**20):
                git.update(chunk)
        return git.hexdigest() == name
    return True
