"""The run folder on disk: created when training starts, finished when it ends, locked between."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor

from zoo.contract.network.backbone import Backbone
from zoo.data.samples import Samples
from zoo.errors import RunError
from zoo.registry.adapter_record import ADAPTER_FILE as ADAPTER_FILE
from zoo.registry.adapter_record import MODEL as MODEL
from zoo.registry.adapter_record import SavedAdapter, weights_file
from zoo.registry.run_list import LAST as LAST
from zoo.registry.run_list import LOCK as LOCK
from zoo.registry.run_record import FORMAT
from zoo.registry.run_record import LOCK_FILE as LOCK_FILE
from zoo.registry.run_record import TOKENIZER as TOKENIZER
from zoo.registry.run_record import read_record as read_record
from zoo.runs.calibrating import calibrated
from zoo.runs.calibration_file import CALIBRATION, FittedCalibration, write_calibration
from zoo.runs.feature_bank import FeatureBank
from zoo.runs.folds import OUTPUTS
from zoo.runs.model_card import model_card
from zoo.runs.predictions import EvaluatedSamples, evaluated_samples, write_predictions
from zoo.runs.trained_on import write_digests
from zoo.system import files
from zoo.system.json_shape import finite
from zoo.system.tensors.files import write_tensors
from zoo.tasks.task import Activation, Task
from zoo.weights.loading.load import file_sha256

METRICS, PREDICTIONS, CARD = "metrics.jsonl", "predictions.parquet", "README.md"
EXAMPLE = "example"
MEMBERS = "members"
"""The folder of an ensemble's copies of runs: ``members/1``, …"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Results of training, to be written.

    Attributes:
        record: Contents of ``run.json``, without the format and the sha256 of the weights.
        backbone: With the best epoch's parameters.
        task: What the outputs mean.
        history: The lines of ``metrics.jsonl``.
        tokenizer: Texts only.
        train: The training split.
        val: The validation split.
        logits: The outputs there: ``(len(val), outputs)``.
        outputs: For a fold: the validation outputs after every epoch, which choose the epoch.
        adapter: What the backbone has that its base has not, and its record; ``None`` to save the
            whole network.
        typical: Features of training samples, and the distances of validation samples from them.
    """

    record: Mapping[str, Any]
    backbone: Backbone
    task: Task
    history: Sequence[Mapping[str, Any]]
    tokenizer: Any
    train: Samples
    val: Samples
    logits: Tensor
    outputs: Mapping[int, Tensor] | None = None
    adapter: tuple[SavedAdapter, Mapping[str, Tensor]] | None = None
    typical: tuple[FeatureBank, NDArray[np.float64]] | None = None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Contents of the files that :func:`finish_run` wrote.

    Attributes:
        record: Contents of ``run.json``.
        task: What the outputs mean.
        evaluated: Contents of ``predictions.parquet``.
        history: The lines of ``metrics.jsonl``.
    """

    record: Mapping[str, Any]
    task: Task
    evaluated: EvaluatedSamples
    history: Sequence[Mapping[str, Any]]


def claim_folder(
    output: Path | None, name: str, what: str = "run"
) -> tuple[Path, tuple[Path, ...]]:
    """Create the new folder ``output``, by default the first free one of ``runs/NAME-1``, …

    Creating it claims it: processes that start together get different folders. ``what`` names the
    contents in errors.

    Returns:
        The folder, and the parents that were created for it, the innermost first.

    Raises:
        RunError: ``output`` exists or is not writable.
    """
    folder = output or Path("runs") / f"{name}-1"
    above = tuple(parent for parent in folder.parents if not os.path.exists(parent))
    for number in count(1):
        if output is None:
            folder = Path("runs") / f"{name}-{number}"
        else:
            refuse_existing(output)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error, what) from error
        try:
            folder.mkdir()
            break
        except (FileExistsError, FileNotFoundError):
            continue  # taken by another run, or a discarded run removed 'runs'
        except OSError as error:
            raise _unwritable(folder, error, what) from error
    return folder, above


@contextmanager
def claimed(output: Path | None, name: str, what: str = "run") -> Iterator[Path]:
    """The folder of :func:`claim_folder`, which is removed if the block fails."""
    folder, above = claim_folder(output, name, what)
    try:
        yield folder
    except BaseException:
        discard_run(folder, above)
        raise


def begin_run(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the ``run.json`` of an unfinished run to a new folder.

    Args:
        folder: An empty one.
        record: What resuming needs: ``request`` and the plan made from it.

    Raises:
        RunError: It cannot be written.
    """
    try:
        _write_record(folder, {**record, "finished": False})
    except OSError as error:
        raise _unwritable(folder, error) from error


def finish_run(folder: Path, outcome: Outcome) -> Finished:
    """Write the results of training. ``run.json`` comes last and marks the run as finished.

    Returns:
        The contents of the files.

    Raises:
        RunError: It cannot be written; the run can be resumed then.
    """
    record, task = outcome.record, outcome.task
    classes: Sequence[str] = record["classes"]
    try:
        if outcome.adapter is None:
            write_model(folder, outcome.backbone, classes, outcome.tokenizer, task.activation)
        else:
            saved, tensors = outcome.adapter
            record = {**record, "adapter": saved.to_json()}
            write_adapter(folder, tensors, outcome.tokenizer)
        sha256 = file_sha256(weights_file(folder, record))
        example = _write_example(folder, outcome.val)
        lines = [
            json.dumps(finite(line), ensure_ascii=False, allow_nan=False) + "\n"
            for line in outcome.history
        ]
        files.write_text(folder / METRICS, "".join(lines))
        evaluated = evaluated_samples(outcome.val, task.decode(outcome.logits))
        write_predictions(folder / PREDICTIONS, evaluated, classes, task=task)
        record = {**record, "results": {**record["results"], "calibration": None}}
        if outcome.typical:
            outcome.typical[0].write(folder)
        if found := _calibrated(outcome):
            write_calibration(folder / CALIBRATION, found)
            record["results"]["calibration"] = found.summary()
        if outcome.outputs is not None:
            by_epoch = {str(epoch): each for epoch, each in outcome.outputs.items()}
            write_tensors(folder / OUTPUTS, by_epoch, {})
        origin = record["origin"]
        if not record.get("privacy"):  # who has the digests knows the training samples
            write_digests(folder, outcome.train, Path(origin["run"]) if origin else None)
        full = {**record, "finished": True, "sha256": sha256, "example": example}
        files.write_text(folder / CARD, model_card(full, folder.name))
        written = _write_record(folder, full)
    except OSError as error:
        raise _unwritable(folder, error) from error
    shutil.rmtree(folder / LAST, ignore_errors=True)
    return Finished(record=written, task=task, evaluated=evaluated, history=outcome.history)


def _calibrated(outcome: Outcome) -> FittedCalibration | None:
    """What is fitted on the held-out outputs."""
    assert outcome.val.labels is not None
    return calibrated(
        outcome.task,
        outcome.logits,
        outcome.val.labels,
        outcome.record["classes"],
        outcome.val.groups,
        distances=outcome.typical and outcome.typical[1],
    )


def discard_run(folder: Path, above: Sequence[Path] = ()) -> None:
    """Remove a run without checkpoints, and the parents that :func:`claim_folder` created."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # another run may be there
        for parent in above:
            parent.rmdir()


@contextmanager
def locked(folder: Path, leads: bool = True) -> Iterator[None]:
    """Lock ``folder`` against other training processes while the block runs.

    Args:
        folder: A run folder.
        leads: Whether this process holds the lock, of several that train together.

    Raises:
        RunError: Another process is training there.
    """
    if not leads:
        yield
        return
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunError(
            f"another process is training in {folder}", hint="Wait for it, or stop it."
        ) from error
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink()
        lock.release()


_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}(\..+)?|\.tmp\w{6}")  # files.replacing's, safetensors'


def leftovers(folder: Path) -> list[Path]:
    """Files that a killed process left in a run folder.

    Hidden temporary files; in a finished run also the checkpoint and the lock.
    """
    found = [path for path in (*_listed(folder), *_listed(folder / LAST)) if _is_temporary(path)]
    if read_record(folder, finished=None)["finished"]:
        found += [path for name in (LAST, LOCK) if os.path.lexists(path := folder / name)]
    return found


def remove_leftovers(folder: Path) -> None:
    """Remove the :func:`leftovers` in a locked run folder, except the lock."""
    for path in leftovers(folder):
        if path.name == LAST:
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            with suppress(OSError):
                path.unlink()


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_temporary(path: Path) -> bool:
    return bool(_TEMPORARY.fullmatch(path.name)) and path.is_file() and not path.is_symlink()


def refuse_links(folder: Path) -> None:
    """Raise a :class:`RunError` if something in ``folder`` is a symbolic link."""
    link = next((path for path in folder.iterdir() if path.is_symlink()), None)
    if link is not None:
        raise RunError(
            f"{link} is a symbolic link to {os.readlink(link)}; zoo does not write through links",
            hint="Replace it by the file or folder itself.",
        )


def refuse_existing(folder: Path) -> None:
    """Raise a :class:`RunError` if ``folder`` exists, or its name is not valid UTF-8."""
    if not files.is_utf8(folder):
        raise RunError(
            f"the name of the output folder {folder} is not valid UTF-8",
            hint="Choose another path with --output DIR.",
        )
    if os.path.lexists(folder):
        raise RunError(
            f"the output folder {folder} exists; zoo does not overwrite folders",
            hint="Choose another path with --output DIR, or remove it.",
        )


@contextmanager
def new_folder(folder: Path, what: str = "run") -> Iterator[Path]:
    """A hidden folder that is renamed to ``folder`` when the block succeeds.

    If the block fails, both are removed, with the parents that were created.
    """
    with claimed(folder, "", what):
        temporary = folder.with_name(f".{folder.name}.{os.urandom(6).hex()}")
        temporary.mkdir()
        try:
            yield temporary
            if os.name == "nt":
                folder.rmdir()  # Windows cannot rename to an existing name
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _write_record(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``run.json``; returns its contents, as JSON data."""
    text = json.dumps({"format": FORMAT, **record}, indent=2, ensure_ascii=False)
    files.write_text(folder / LOCK_FILE, text + "\n")
    written: dict[str, Any] = json.loads(text)
    return written


def write_model(
    folder: Path,
    backbone: Backbone,
    classes: Sequence[str],
    tokenizer: Any,
    activation: Activation = "softmax",
) -> None:
    """Write the files that the library loads: weights, configuration, tokenizer.

    Raises:
        OSError: They cannot be written.
    """
    write_tensors(folder / MODEL, backbone.file_state_dict(activation), {"format": "pt"})
    for name, text in backbone.native_files(classes, activation).items():
        files.write_text(folder / name, text)
    if tokenizer is not None:
        files.write_text(folder / TOKENIZER, tokenizer.to_str(pretty=True))


def write_adapter(folder: Path, tensors: Mapping[str, Tensor], tokenizer: Any) -> None:
    """Write the files of an adapter run: the adapter and the tokenizer.

    Raises:
        OSError: They cannot be written.
    """
    write_tensors(folder / ADAPTER_FILE, tensors, {"format": "pt"})
    if tokenizer is not None:
        files.write_text(folder / TOKENIZER, tokenizer.to_str(pretty=False))


def _write_example(folder: Path, samples: Samples) -> str | list[str]:
    """A validation input to try the run on: text, pair, path, or the name of a file in ``folder``."""
    raw = samples.raw(0)
    if isinstance(raw, str):
        return raw
    if samples.pairs:
        return list(raw)
    ending, content = samples.kind.example_file(raw)
    with files.replacing(folder / f"{EXAMPLE}{ending}") as temporary:
        temporary.write_bytes(content)
    return f"{EXAMPLE}{ending}"


def _unwritable(folder: Path, error: OSError, what: str = "run") -> RunError:
    return RunError(
        f"the {what} cannot be written to {folder}: {error.strerror or error}",
        hint="Choose another path with --output DIR.",
    )
