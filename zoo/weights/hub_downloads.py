"""Files from the Hub, through its own client and into its own cache. No torch.

The client compares sizes alone. Its cache names each file's content by what the Hub says of it:
the sha256 of a large file, the git hash of a small one. So both can be checked without a network.
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
    """One file of a repository, or its folder with configuration, tokenizer and weights.

    The weights of a folder come last: where they are, the rest is.

    Raises:
        WeightsError: The Hub does not give them.
    """
    import huggingface_hub

    try:
        if file is not None:
            return Path(huggingface_hub.hf_hub_download(repo, file, cache_dir=hub_folder()))
        weights = _form_of_weights(huggingface_hub.HfApi().list_repo_files(repo), repo)
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
        # The client lets through what its HTTP library raises, which one depends on its version.
        what = f"{repo}/{file}" if file else repo
        hint = "Try again, or give a local file or folder with --weights PATH."
        message, hint = hub_error_in_words(error, repo, doing=f"fetching {what}", hint=hint)
        raise WeightsError(message, hint=hint) from error


def damaged(path: Path) -> list[Path]:
    """Those of the files at ``path`` (a file, or a snapshot) whose content is not the Hub's.

    None where the cache holds plain files instead of links: nothing there tells what they were.
    """
    return [file for file in _files(path) if not _right(file)]


def remove(path: Path, wrong: list[Path]) -> None:
    """Take the damaged files out of the cache, and the other links of a snapshot with them.

    The others' content stays, so that the next download of the snapshot only adds what is missing.

    Raises:
        OSError: They cannot be deleted.
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


def _form_of_weights(files: list[str], repo: str) -> str:
    """The pattern of one form of the weights: safetensors where there are any."""
    for pattern, suffix in (("*.safetensors", ".safetensors"), ("pytorch_model*.bin", ".bin")):
        if any(file.endswith(suffix) for file in files):
            return pattern
    raise WeightsError(
        f"the repository {repo} has no weights: no .safetensors and no .bin",
        hint="'zoo list' shows what has.",
    )


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    names = sorted(entry for entry in path.iterdir() if entry.is_file())
    safe = any(name.suffix == ".safetensors" for name in names)
    wanted = {".json", ".txt", ".model", ".safetensors" if safe else ".bin"}
    yield from (name for name in names if name.suffix in wanted)


def _right(file: Path) -> bool:
    """Whether the content is what the blob's name says, as far as it says anything."""
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
