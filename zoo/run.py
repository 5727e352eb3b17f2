"""The run folder: what a fine-tune leaves behind, and what prediction and evaluation need."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from zoo import files
from zoo.backbone import Backbone, build
from zoo.data import Samples, open_data, open_inputs, read_picture
from zoo.data.reports import BadFiles
from zoo.engine.device import choose_device
from zoo.engine.feed import Feed
from zoo.engine.forward import Forward
from zoo.engine.metrics import Evaluation, evaluation
from zoo.engine.progress import Quiet, Reporter
from zoo.errors import RunError, ZooError
from zoo.heads import make_head
from zoo.model_card import model_card
from zoo.spec import BackboneSpec
from zoo.weights import file_sha256, read_state_dict

FORMAT = 1
LOCK_FILE, MODEL, TOKENIZER = "run.json", "model.safetensors", "tokenizer.json"
METRICS, PREDICTIONS, CARD = "metrics.jsonl", "predictions.parquet", "README.md"
EXAMPLE = "example.png"


@dataclass(frozen=True)
class Prediction:
    """What a run says of one input.

    Attributes:
        input: The path of the picture, or the text.
        label: The class with the highest probability.
        probabilities: Class names to numbers in [0, 1], the likeliest first.
    """

    input: str
    label: str
    probabilities: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return {
            "input": self.input,
            "label": self.label,
            "probabilities": dict(self.probabilities),
        }


class Run:
    """A finished fine-tune, opened from its folder. It needs nothing but that folder.

    Args:
        folder: What ``zoo finetune`` wrote.

    Raises:
        RunError: There is no readable ``run.json``.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.record = _read_record(self.folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}: {self.backbone_name}, {len(self.classes)} classes)"

    @property
    def backbone_name(self) -> str:
        """The canonical name of the backbone."""
        return str(self.record["backbone"])

    @property
    def classes(self) -> tuple[str, ...]:
        """The user's class names, in the order of the outputs."""
        return tuple(self.record["classes"])

    @property
    def metrics(self) -> dict[str, float]:
        """``accuracy``, ``macro_f1`` and ``loss`` on the validation split."""
        return dict(self.record["results"]["metrics"])

    @cached_property
    def spec(self) -> BackboneSpec:
        """The backbone's spec with the input as it was trained on."""
        return BackboneSpec.from_json(self.record["spec"])

    def next_command(self) -> str:
        """A command that tries the run on one of its validation inputs."""
        folder, example = shlex.quote(str(self.folder)), self.record["example"]
        if self.spec.modality == "text":
            first_line = (example.strip().splitlines() or [""])[0][:80]
            return f"echo {shlex.quote(first_line)} | zoo predict {folder} -"
        picture = self.folder / example if example == EXAMPLE else example
        return f"zoo predict {folder} {shlex.quote(str(picture))}"

    def load(self) -> Backbone:
        """The fine-tuned backbone with its head, on the CPU, in evaluation mode.

        Raises:
            RunError: The weights are damaged or gone.
        """
        backbone = build(self.spec, None)
        head = make_head(self.record["head"], self.spec.feature_dim, len(self.classes))
        backbone.replace_head(head)
        path = self.folder / MODEL
        try:
            backbone.load_native_state_dict(
                read_state_dict(path), strict_head=True, source=f"the weights in {path}"
            )
        except ZooError as error:
            raise RunError(
                f"the run {self.folder} cannot be loaded: {error.message}", hint=error.hint
            ) from error
        return backbone.eval()

    def predict(
        self,
        inputs: Sequence[Any],
        *,
        text_column: str | None = None,
        device: str = "auto",
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> list[Prediction]:
        """Class probabilities for pictures or texts, in the order given.

        Args:
            inputs: Paths of pictures, folders of them, tables, Pillow pictures, or texts.
            text_column: The column of a table that holds the input.
            device: ``auto``, ``cpu``, ``cuda``, …
            workers: Processes that prepare pictures.
            reporter: Sees the steps.

        Raises:
            DataError: An input cannot be read, or is of another modality.
        """
        samples = open_inputs(inputs, self.spec.modality, text_column=text_column)
        logits = self._logits(samples, device=device, workers=workers, reporter=reporter)
        return [
            _prediction(_shown(samples, i), row, self.classes)
            for i, row in enumerate(logits.double().softmax(dim=1).tolist())
        ]

    def evaluate(
        self,
        data: str | Path,
        *,
        split: str | None = None,
        text_column: str | None = None,
        label_column: str | None = None,
        bad_files: BadFiles = "error",
        device: str = "auto",
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> dict[str, Evaluation]:
        """How well the run does on labelled data, by split: ``val`` and ``test`` where both are.

        Data without splits is one split, ``all``, unless it is what the run was trained on:
        then the same samples as in training are held out again.

        Args:
            data: A folder, a table, or ``hf:<name>``.
            split: One split alone.
            text_column: As in training, which is also the default.
            label_column: As in training, which is also the default.
            bad_files: ``error``, or ``skip`` for leaving them out.
            device: ``auto``, ``cpu``, ``cuda``, …
            workers: Processes that prepare pictures.
            reporter: Sees the steps.

        Raises:
            ClassesError: The data has a class that the run does not know.
        """
        trained = self.record["data"]
        splits = open_data(
            data,
            modality=self.spec.modality,
            need="evaluate",
            known_classes=self.classes,
            val_split=trained["val_split"],
            seed=trained["split_seed"],
            text_column=text_column or trained["text_column"],
            label_column=label_column or trained["label_column"],
            bad_files=bad_files,
        )
        held_out = splits.to_evaluate(trained_on=trained["fingerprint"])
        if split is not None and split not in held_out:
            raise RunError(f"{data} has no split {split!r}", hint=f"It has: {', '.join(held_out)}.")
        chosen = held_out if split is None else {split: held_out[split]}
        results = {}
        for name, samples in chosen.items():
            logits = self._logits(samples, device=device, workers=workers, reporter=reporter)
            assert samples.labels is not None
            results[name] = evaluation(logits, samples.labels, self.classes)
        return results

    def _logits(
        self, samples: Samples, *, device: str, workers: int | None, reporter: Reporter | None
    ) -> Tensor:
        place = choose_device(device)
        precision = self.record["precision"] if place.type == self.record["device"] else "fp32"
        forward = Forward(self._loaded, device=place, precision=precision)
        feed = Feed(spec=self.spec, tokenizer=self._tokenizer, workers=workers)
        return forward.predict(
            feed.plain(samples), count=len(samples), reporter=reporter or Quiet()
        )

    @cached_property
    def _loaded(self) -> Backbone:
        return self.load()

    @cached_property
    def _tokenizer(self) -> Any:
        if self.spec.modality != "text":
            return None
        from tokenizers import Tokenizer

        try:
            return Tokenizer.from_file(str(self.folder / TOKENIZER))
        except Exception as error:  # tokenizers raises plain Exception for whatever is wrong
            raise RunError(f"{self.folder / TOKENIZER} cannot be read: {error}") from error


def write_run(
    folder: Path,
    *,
    record: Mapping[str, Any],
    backbone: Backbone,
    history: Sequence[Mapping[str, Any]],
    tokenizer: Any,
    val: Samples,
    logits: Tensor,
) -> Run:
    """Write a run folder, whole or not at all.

    Args:
        folder: Must not exist.
        record: What ``run.json`` holds but for the sha256 of the weights.
        backbone: With the best epoch's parameters.
        history: The lines of ``metrics.jsonl``.
        tokenizer: Texts only.
        val: The validation split.
        logits: The outputs there: ``(len(val), classes)``.

    Raises:
        RunError: ``folder`` exists, or cannot be written.
    """
    try:
        with _new_folder(folder) as temporary:
            _write_model(temporary, backbone, record["classes"], tokenizer)
            sha256 = file_sha256(temporary / MODEL)
            example = _write_example(temporary, val)
            full = {"format": FORMAT, **record, "sha256": sha256, "example": example}
            lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in history]
            files.write_text(temporary / METRICS, "".join(lines))
            _write_predictions(temporary / PREDICTIONS, val, logits, record["classes"])
            files.write_text(temporary / CARD, model_card(full, folder.name))
            text = json.dumps(full, indent=2, ensure_ascii=False)
            files.write_text(temporary / LOCK_FILE, text + "\n")
    except OSError as error:
        raise RunError(
            f"the run cannot be written to {folder}: {error.strerror or error}",
            hint="Give another place with --output DIR.",
        ) from error
    return Run(folder)


def refuse_existing(folder: Path) -> None:
    """Raise a :class:`RunError` if there is something at ``folder``."""
    if folder.exists() or folder.is_symlink():
        raise RunError(
            f"the output folder {folder} exists, and the zoo does not overwrite runs",
            hint="Give another one with --output DIR, or remove it.",
        )


def free_folder(name: str, parent: Path = Path("runs")) -> Path:
    """The first of ``runs/NAME-1``, ``runs/NAME-2``, … that is not there."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder beside ``folder`` that takes its name when the block ends well."""
    refuse_existing(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.urandom(6).hex()}")
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_model(folder: Path, backbone: Backbone, classes: Sequence[str], tokenizer: Any) -> None:
    # Contiguous copies: safetensors stores neither channels-last nor shared memory.
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in backbone.native_state_dict().items()
    }
    with files.replacing(folder / MODEL) as path:
        safetensors.torch.save_file(state, path, metadata={"format": "pt"})
    for name, text in backbone.native_files(classes).items():
        files.write_text(folder / name, text)
    if tokenizer is not None:
        files.write_text(folder / TOKENIZER, tokenizer.to_str(pretty=True))


def _write_example(folder: Path, samples: Samples) -> str:
    """A validation input to try the run on: a text, a path, or a picture's name in ``folder``."""
    raw = samples.raw(0)
    if isinstance(raw, str):
        return raw
    picture = raw if isinstance(raw, Image.Image) else read_picture(raw)
    with files.replacing(folder / EXAMPLE) as temporary:
        picture.save(temporary)
    return EXAMPLE


def _write_predictions(
    path: Path, samples: Samples, logits: Tensor, classes: Sequence[str]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    probabilities = logits.double().softmax(dim=1).numpy()
    best = probabilities.argmax(axis=1)
    assert samples.labels is not None
    table = pa.table(
        {
            "input": [_shown(samples, i) for i in range(len(samples))],
            "label": [classes[i] for i in samples.labels],
            "predicted": [classes[i] for i in best],
            "probability": probabilities.max(axis=1),
            "probabilities": list(probabilities),
        }
    )
    with files.replacing(path) as temporary:
        pq.write_table(table, temporary)


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / LOCK_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = "has no run.json" if folder.is_dir() else "does not exist"
        raise RunError(
            f"{folder} {what}, so it is no run folder",
            hint="Give the folder that 'zoo finetune' named at its end, e.g. runs/resnet18-1.",
        ) from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    needed = {"format", "backbone", "spec", "classes", "head", "precision", "device", "data"}
    if not isinstance(record, dict) or (missing := needed - record.keys()):
        lost = ", ".join(sorted(missing)) if isinstance(record, dict) else "everything"
        raise RunError(f"{path} is not the lock file of a run: it lacks {lost}")
    if record["format"] > FORMAT:
        raise RunError(
            f"{path} was written by a later zoo (format {record['format']})",
            hint="Upgrade zoo: pip install -U zoo",
        )
    return record


def _shown(samples: Samples, index: int) -> str:
    """What stands for an input: a text itself, or the path of a picture."""
    return str(samples.raw(index)) if samples.modality == "text" else samples.input(index)


def _prediction(name: str, row: Sequence[float], classes: Sequence[str]) -> Prediction:
    ranked = sorted(zip(classes, row, strict=True), key=lambda pair: -pair[1])
    return Prediction(name, ranked[0][0], dict(ranked))
