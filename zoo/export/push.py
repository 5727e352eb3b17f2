"""Upload of a run to the Hugging Face Hub."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.contract.network.backbone import Backbone
from zoo.errors import RunError, UsageError, ZooError
from zoo.export import inputs_of, loaded, write_preparation
from zoo.export.native import LOADER, native_flaw, native_source
from zoo.export.portable import data_name, is_address, without_folders
from zoo.registry.adapter_record import weights_file
from zoo.registry.run_record import LOCK_FILE, read_run
from zoo.runs.calibration_file import CALIBRATION
from zoo.runs.folder import CARD, METRICS
from zoo.runs.model_card import hub_card
from zoo.runs.run import Run
from zoo.system.hub import hub_error_in_words
from zoo.system.network import hub_reachable
from zoo.system.small_files import read_small

PREFIX = "hf:"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)

_KEPT = (
    *(
        "format",
        "created",
        "finished",
        "backbone",
        "spec",
        "params",
        "adapter",
        "weights",
        "origin",
    ),
    *(
        "classes",
        "task",
        "head",
        "plugins",
        "surgery",
        "network",
        "unpadded",
        "strategy",
        "recipe",
        "precision",
        "privacy",
        "device",
        "data",
    ),
    *("evaluation_batch", "versions", "results", "sha256"),
)
"""Keys of ``run.json`` that are uploaded: not the request, the machine, or the example."""

_KEPT_OF_DATA = (
    *("source", "fingerprint", "val_fingerprint", "train", "val", "removed"),
    *("val_split", "test_split", "split_seed", "text_column", "label_column", "columns", "quoting"),
)
"""Keys of its ``data``: not the skipped or duplicate inputs, which are paths or texts."""


@dataclass(frozen=True)
class Pushed:
    """Result of :func:`push_run`.

    Attributes:
        repo: ``org/name``.
        url: Its page.
        private: Whether it is private.
        files: Size in bytes, by path in the repository.
        card: The model card, its ``README.md``.
        commit: Hash of the commit; ``None`` if nothing was uploaded.
    """

    repo: str
    url: str
    private: bool
    files: Mapping[str, int]
    card: str
    commit: str | None

    def to_json(self) -> dict[str, Any]:
        """As ``zoo push --json`` prints it."""
        return {
            "repo": self.repo,
            "url": self.url,
            "private": self.private,
            "files": [{"path": path, "bytes": size} for path, size in self.files.items()],
            "card": self.card,
            "sent": self.commit is not None,
            "commit": self.commit,
        }


def push_run(
    run: Run | str | Path, repo: str, *, private: bool = False, dry_run: bool = False
) -> Pushed:
    """Upload a finished run to the Hub, in one commit, with a model card.

    Uploaded are the weights, ``run.json`` without paths, requests and inputs, ``metrics.jsonl``,
    ``calibration.json``,
    the library's files, ``preprocessing.json``, the tokenizer, ``load.py`` if the library can load
    the network by itself, and the card. Predictions, examples and other files are not uploaded.

    Args:
        run: A run, or its folder.
        repo: ``hf:<org>/<name>``; created if necessary, else it gets another commit.
        private: Create a private repository; an existing public one is refused.
        dry_run: Return what would be uploaded, without uploading.

    Raises:
        UsageError: ``repo`` is not a valid name, or there is no token.
        RunError: The run cannot be uploaded, or the Hub is unreachable or refuses.
    """
    run = run if isinstance(run, Run) else Run(run)
    name = _checked_name(repo)
    api = None if dry_run else _ready(name)
    finished = read_run(run.folder)
    finished.check_weights()
    contents = _contents(run, name)
    weights = weights_file(run.folder, run.record)
    commit = None
    if api is not None:
        commit = _upload(api, name, {**contents, weights.name: weights}, private=private)
    return Pushed(
        repo=name,
        url=_url(name),
        private=private,
        files={
            **{path: len(data) for path, data in contents.items()},
            weights.name: _size(weights),
        },
        card=contents[CARD].decode(),
        commit=commit,
    )


def _checked_name(repo: str) -> str:
    name = repo.removeprefix(PREFIX)
    flaw = "--" in name or ".." in name or name.endswith((".git", ".ipynb", "-", "."))
    if not repo.startswith(PREFIX) or not _NAME.fullmatch(name) or flaw:
        raise UsageError(
            f"{repo!r} is not a valid repository name",
            hint="Use hf:ORG/NAME, with letters, digits, '-', '_' and '.': hf:acme/my-plants.",
        )
    return name


def _url(name: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{name}"


# -- contents --------------------------------------------------------------------------------


def _contents(run: Run, name: str) -> dict[str, bytes]:
    """Contents of the small files, by path in the repository."""
    backbone = loaded(run)
    record = public_record(run.record)
    texts = {LOCK_FILE: json.dumps(record, indent=2, ensure_ascii=False) + "\n"}
    loader = ""
    if run.record.get("adapter") is None:  # the library cannot load an adapter of zoo's
        texts |= backbone.native_files(run.classes, run.task.activation)
        loader = "" if native_flaw(backbone, run) else native_source(backbone, run)
    if loader:
        texts[LOADER] = loader
    texts[CARD] = hub_card(record, name, loader=LOADER.removesuffix(".py") if loader else "")
    contents = {path: text.encode() for path, text in texts.items()}
    contents |= _prepared(run, backbone)
    for kept in (METRICS, CALIBRATION):
        if (run.folder / kept).is_file():
            contents[kept] = read_small(run.folder / kept)
    return dict(sorted(contents.items()))


def _prepared(run: Run, backbone: Backbone) -> dict[str, bytes]:
    """``preprocessing.json``, and the run's own tokenizer."""
    with tempfile.TemporaryDirectory() as folder:
        write_preparation(Path(folder), run, inputs_of(run, backbone), divided=False)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def public_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The public part of ``run.json``: no folders of this machine, and no inputs."""
    kept = {key: record[key] for key in _KEPT if key in record}
    data = {key: record["data"][key] for key in _KEPT_OF_DATA if key in record["data"]}
    if record.get("privacy"):  # who guesses the samples could check the guess
        data |= {"fingerprint": "", "val_fingerprint": ""}
    spec = {
        **without_folders(kept["spec"]),
        "weights": [row for row in kept["spec"].get("weights", ()) if is_address(row["uri"])],
    }
    return {
        **kept,
        "backbone": without_folders(kept["backbone"]),
        "spec": spec,
        "weights": without_folders(kept["weights"]),
        "adapter": without_folders(kept.get("adapter")),
        "origin": _public_origin(kept["origin"]),
        "network": without_folders(kept.get("network")),
        "data": {**data, "source": data_name(str(data.get("source", "")))},
    }


def _public_origin(origin: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if origin is None:
        return None
    return {
        **without_folders(origin),
        "data": data_name(str(origin.get("data", ""))),
        "origin": _public_origin(origin["origin"]),
    }


def _size(path: Path) -> int:
    return path.stat().st_size


# -- upload ----------------------------------------------------------------------------------


def _ready(name: str) -> Any:
    """The Hub's client, if there is a token and the Hub is reachable."""
    import huggingface_hub

    token = huggingface_hub.get_token()
    if not token:
        raise UsageError(
            f"cannot upload to {name}: there is no token for the Hub",
            hint="Log in with 'hf auth login', or set HF_TOKEN. --dry-run needs no token.",
        )
    if not hub_reachable():
        raise RunError(
            f"the Hub ({huggingface_hub.constants.ENDPOINT}) is unreachable; nothing was uploaded",
            hint="Check the network, HF_ENDPOINT and HF_HUB_OFFLINE.",
        )
    return huggingface_hub.HfApi(token=token)


def _upload(api: Any, name: str, contents: Mapping[str, bytes | Path], *, private: bool) -> str:
    """Upload everything in one commit; returns its hash."""
    from huggingface_hub import CommitOperationAdd

    try:
        api.create_repo(name, private=private or None, exist_ok=True)
        if private and not api.repo_info(name).private:
            raise RunError(
                f"{name} exists on the Hub and is public; nothing was uploaded",
                hint="Make it private on its page first, or choose another name.",
            )
        commit = api.create_commit(
            name,
            [CommitOperationAdd(path, content) for path, content in contents.items()],
            commit_message="Upload a zoo run",
        )
    except ZooError:
        raise
    except Exception as error:
        # The client passes on errors of its HTTP library, which depends on its version.
        hint = "Try again, choose another name, or check the repository's page."
        message, hint = hub_error_in_words(error, name, doing=f"uploading {name}", hint=hint)
        raise RunError(message, hint=hint) from error
    return str(commit.oid)
