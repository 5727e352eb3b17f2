"""The run folder on disk: made when training starts, finished when it ends, locked between."""

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

from filelock import FileLock, Timeout
from PIL import Image
from torch import Tensor

from zoo.contract.backbone import Backbone
from zoo.data.samples import Samples
from zoo.errors import RunError
from zoo.modalities.image.reading import read_image
from zoo.registry.run_record import FORMAT, LOCK_FILE
from zoo.registry.run_record import MODEL as MODEL
from zoo.registry.run_record import TOKENIZER as TOKENIZER
from zoo.registry.run_record import read_record as read_record
from zoo.runs.model_card import model_card
from zoo.runs.predictions import EvaluatedSamples, evaluated_samples, write_predictions
from zoo.runs.trained_on import write_digests
from zoo.system import files
from zoo.system.tensors.files import write_tensors
from zoo.tasks.task import Activation, Task
from zoo.weights.load import file_sha256

METRICS, PREDICTIONS, CARD = "metrics.jsonl", "predictions.parquet", "README.md"
EXAMPLE, LAST, LOCK = "example.png", "last", ".lock"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What training leaves to be written.

    Attributes:
        record: What ``run.json`` holds but for the format and the sha256 of the weights.
        backbone: With the best epoch's parameters.
        task: What the outputs mean.
        history: The lines of ``metrics.jsonl``.
        tokenizer: Texts only.
        train: The training split.
        val: The validation split.
        logits: The outputs there: ``(len(val), outputs)``.
    """

    record: Mapping[str, Any]
    backbone: Backbone
    task: Task
    history: Sequence[Mapping[str, Any]]
    tokenizer: Any
    train: Samples
    val: Samples
    logits: Tensor


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What :func:`finish_run` has written.

    Attributes:
        record: What ``run.json`` holds.
        task: What the outputs mean.
        evaluated: What ``predictions.parquet`` holds.
        history: The lines of ``metrics.jsonl``.
    """

    record: Mapping[str, Any]
    task: Task
    evaluated: EvaluatedSamples
    history: Sequence[Mapping[str, Any]]


def claim_folder(
    output: Path | None, name: str, what: str = "run"
) -> tuple[Path, tuple[Path, ...]]:
    """Make the new folder ``output``, or by default the first free one of ``runs/NAME-1``, …

    To make it is to claim it: of processes that start together, each has its own. ``what`` is how
    an error calls that which is to be written.

    Returns:
        The folder, and those above it that had to be made too, the innermost first.

    Raises:
        RunError: ``output`` exists, or nothing can be written there.
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
            continue  # another run has it, or one that has been discarded took 'runs' with it
        except OSError as error:
            raise _unwritable(folder, error, what) from error
    return folder, above


@contextmanager
def claimed(output: Path | None, name: str, what: str = "run") -> Iterator[Path]:
    """The folder of :func:`claim_folder`, which goes away if the block fails."""
    folder, above = claim_folder(output, name, what)
    try:
        yield folder
    except BaseException:
        discard_run(folder, above)
        raise


def begin_run(folder: Path, record: Mapping[str, Any]) -> None:
    """Say in ``run.json`` of a new folder that its run is unfinished.

    Args:
        folder: An empty one.
        record: What resuming needs to know: ``request`` and what it led to.

    Raises:
        RunError: It cannot be written.
    """
    try:
        _write_record(folder, {**record, "finished": False})
    except OSError as error:
        raise _unwritable(folder, error) from error


def finish_run(folder: Path, outcome: Outcome) -> Finished:
    """Write what training came to. ``run.json`` comes last: with it the run is finished.

    Returns:
        The same, for whoever goes on with the run.

    Raises:
        RunError: It cannot be written; the run can be resumed then.
    """
    record, task = outcome.record, outcome.task
    classes: Sequence[str] = record["classes"]
    try:
        write_model(folder, outcome.backbone, classes, outcome.tokenizer, task.activation)
        sha256 = file_sha256(folder / MODEL)
        example = _write_example(folder, outcome.val)
        lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in outcome.history]
        files.write_text(folder / METRICS, "".join(lines))
        evaluated = evaluated_samples(outcome.val, task.decode(outcome.logits))
        write_predictions(folder / PREDICTIONS, evaluated, classes, task=task)
        origin = record["origin"]
        write_digests(folder, outcome.train, Path(origin["run"]) if origin else None)
        full = {**record, "finished": True, "sha256": sha256, "example": example}
        files.write_text(folder / CARD, model_card(full, folder.name))
        written = _write_record(folder, full)
    except OSError as error:
        raise _unwritable(folder, error) from error
    shutil.rmtree(folder / LAST, ignore_errors=True)
    return Finished(record=written, task=task, evaluated=evaluated, history=outcome.history)


def discard_run(folder: Path, above: Sequence[Path] = ()) -> None:
    """Remove a run of which nothing has been saved, and what :func:`claim_folder` made ``above`` it."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # another run may be there by now
        for parent in above:
            parent.rmdir()


@contextmanager
def locked(folder: Path, leads: bool = True) -> Iterator[None]:
    """Keep other runs from training in ``folder`` while the block runs.

    Args:
        folder: A run folder.
        leads: Whether this is the process, of those that train together, that holds the lock.

    Raises:
        RunError: Another process does so already.
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
    """What a process that was killed has left in a run folder, and no other process needs.

    Hidden temporary files; of a finished run also the state and the lock.
    """
    found = [path for path in (*_listed(folder), *_listed(folder / LAST)) if _is_temporary(path)]
    if read_record(folder, finished=None)["finished"]:
        found += [path for name in (LAST, LOCK) if os.path.lexists(path := folder / name)]
    return found


def remove_leftovers(folder: Path) -> None:
    """Remove the :func:`leftovers` in a run folder that is locked; the lock itself goes with that."""
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
    """Raise a :class:`RunError` if something in ``folder``, which is to be written to, is a link."""
    link = next((path for path in folder.iterdir() if path.is_symlink()), None)
    if link is not None:
        raise RunError(
            f"{link} is a link to {os.readlink(link)}, and the zoo does not write through links",
            hint="Put the file or folder itself there.",
        )


def refuse_existing(folder: Path) -> None:
    """Raise a :class:`RunError` if there is something at ``folder``, or nothing can be."""
    if not files.is_utf8(folder):
        raise RunError(
            f"the name of the output folder {folder} is not valid UTF-8",
            hint="Choose another path with --output DIR.",
        )
    if os.path.lexists(folder):
        raise RunError(
            f"the output folder {folder} exists, and the zoo does not overwrite runs",
            hint="Choose another path with --output DIR, or remove it.",
        )


@contextmanager
def new_folder(folder: Path, what: str = "run") -> Iterator[Path]:
    """A hidden folder beside ``folder``, which is claimed, that takes its name at a good end.

    If the block fails, neither is left, nor what had to be made above them.
    """
    with claimed(folder, "", what):
        temporary = folder.with_name(f".{folder.name}.{os.urandom(6).hex()}")
        temporary.mkdir()
        try:
            yield temporary
            if os.name == "nt":
                folder.rmdir()  # there alone nothing can be renamed to a name that is taken
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _write_record(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``run.json``; gives what it holds, as JSON has it."""
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
    """Write what the library loads: weights, its files beside them, and the tokenizer of texts.

    Raises:
        OSError: They cannot be written.
    """
    write_tensors(folder / MODEL, backbone.file_state_dict(activation), {"format": "pt"})
    for name, text in backbone.native_files(classes, activation).items():
        files.write_text(folder / name, text)
    if tokenizer is not None:
        files.write_text(folder / TOKENIZER, tokenizer.to_str(pretty=True))


def _write_example(folder: Path, samples: Samples) -> str | list[str]:
    """A validation input to try the run on: text, pair, path, or an image's name in ``folder``."""
    raw = samples.raw(0)
    if isinstance(raw, str):
        return raw
    if isinstance(raw, tuple):
        return list(raw)
    image = raw if isinstance(raw, Image.Image) else read_image(raw, values="own")
    with files.replacing(folder / EXAMPLE) as temporary:
        image.save(temporary)
    return EXAMPLE


def _unwritable(folder: Path, error: OSError, what: str = "run") -> RunError:
    return RunError(
        f"the {what} cannot be written to {folder}: {error.strerror or error}",
        hint="Choose another path with --output DIR.",
    )
