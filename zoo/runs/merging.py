"""Merge an adapter run into a whole network, in a new run folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from zoo.engine.adapters import merge
from zoo.errors import RunError, UsageError
from zoo.runs.folder import (
    ADAPTER_FILE,
    CARD,
    LOCK_FILE,
    MODEL,
    new_folder,
    refuse_existing,
    write_model,
)
from zoo.runs.model_card import model_card
from zoo.runs.run import Run
from zoo.system import files
from zoo.weights.loading.load import file_sha256

_REWRITTEN = (ADAPTER_FILE, LOCK_FILE, CARD)


def merge_run(run: Run | str | Path, output: str | Path | None = None) -> Run:
    """Write an adapter run as a run with the whole network, which needs no base.

    Args:
        run: An adapter run, or its folder.
        output: A folder that does not exist; ``<run>-merged`` by default.

    Returns:
        The new run. Its logits differ from the adapter run's by rounding only.

    Raises:
        UsageError: The run holds a whole network already.
        RunError: It cannot be loaded, or the folder exists or is not writable; nothing is left then.
    """
    run = run if isinstance(run, Run) else Run(run)
    if run.record.get("adapter") is None:
        raise UsageError(
            f"{run.folder} holds a whole network; there is nothing to merge",
            hint="zoo merge is for adapter runs; 'zoo adapters' lists them.",
        )
    name = run.folder.resolve().name
    beside = run.folder if run.folder.name == name else run.folder.resolve()
    folder = Path(output) if output else beside.with_name(f"{name}-merged")
    refuse_existing(folder)
    backbone = run.load()
    merge(backbone)
    try:
        with new_folder(folder) as temporary:
            for file in run.folder.iterdir():
                if file.name not in _REWRITTEN and file.is_file() and not file.is_symlink():
                    shutil.copyfile(file, temporary / file.name)
            write_model(temporary, backbone, run.classes, run.tokenizer, run.task.activation)
            record = {**run.record, "adapter": None, "sha256": file_sha256(temporary / MODEL)}
            files.write_text(temporary / CARD, model_card(record, folder.name))
            text = json.dumps(record, indent=2, ensure_ascii=False)
            files.write_text(temporary / LOCK_FILE, text + "\n")
    except OSError as error:
        raise RunError(
            f"the run cannot be written to {folder}: {error.strerror or error}",
            hint="Choose another path with --output DIR.",
        ) from error
    return Run(folder)
