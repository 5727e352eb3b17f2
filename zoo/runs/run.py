"""A finished fine-tune, opened from its folder: prediction and evaluation."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from zoo.contract.backbone import Backbone
from zoo.contract.spec import BackboneSpec
from zoo.data.dataset import open_data
from zoo.data.evaluation_samples import EvaluationSamples, evaluation_samples
from zoo.data.inputs import open_inputs, without_unreadable
from zoo.data.kind import BadInput
from zoo.data.reports import BadFiles, Findings
from zoo.data.samples import Samples
from zoo.data.sources.columns import ColumnNames, Columns
from zoo.data.sources.dialects import QUOTINGS, Quoting
from zoo.data.splitting import check_share
from zoo.engine.device import choose_device
from zoo.engine.forward import Forward
from zoo.engine.heads import make_head
from zoo.engine.loader_factory import LoaderFactory
from zoo.engine.progress import Quiet, Reporter
from zoo.engine.surgery import Surgery, apply_surgery
from zoo.errors import PluginError, RunError, UsageError, WeightsError, ZooError
from zoo.modalities import Modality, modality_of
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.not_seen import NotSeen
from zoo.registry.registry import Registry
from zoo.registry.run_record import LOCK_FILE
from zoo.runs.folder import (
    EXAMPLE,
    METRICS,
    MODEL,
    PREDICTIONS,
    TOKENIZER,
    Finished,
    read_record,
)
from zoo.runs.mistakes import Mistakes, read_mistakes
from zoo.runs.predictions import (
    EvaluatedSamples,
    evaluated_samples,
    predictions_of,
    read_predictions,
)
from zoo.runs.predictor import Predictor
from zoo.runs.python_names import python_names
from zoo.runs.report.page import REPORT, Report, write_report
from zoo.runs.report.subject import Subject, read_history
from zoo.runs.request import Request
from zoo.runs.requested_data import open_requested
from zoo.runs.tokenizer_file import read_tokenizer
from zoo.runs.trained_on import read_digests
from zoo.system.offline import no_network
from zoo.tasks import task_from_json
from zoo.tasks.evaluation import Evaluation
from zoo.tasks.metrics import THRESHOLD
from zoo.tasks.predictions import AnyPrediction, NoPrediction
from zoo.tasks.task import Task
from zoo.weights.build import build, refuse_larger
from zoo.weights.load import read_state_dict


class Run:
    """A finished fine-tune, opened from its folder. It needs nothing but that folder.

    Args:
        folder: What ``zoo finetune`` wrote.
        surgery: The function that changed the backbone before it trained, if one did.
        registry: Whose plugins may build its backbone; those that are installed by default.
        backbone: What :meth:`load` would give, from whoever has it at hand already.
        finished: What its files hold, from whoever has just written them.

    Attributes:
        folder: The run folder.
        record: What its ``run.json`` holds.
        spec: The backbone's spec with the input as it was trained on.
        task: What the outputs mean.
        metrics: The task's metrics on the validation split: ``accuracy``, ``macro_f1``, ``loss``.

    Raises:
        RunError: There is no readable ``run.json``, or the run is not finished.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        surgery: Surgery | None = None,
        registry: Registry | None = None,
        backbone: Backbone | None = None,
        finished: Finished | None = None,
    ) -> None:
        self._given, self._absolute = Path(folder), Path(os.path.abspath(folder))
        self._surgery, self._registry = surgery, registry
        self._backbone, self._finished = backbone, finished
        self.record = finished.record if finished else read_record(self.folder)
        try:
            self.spec = BackboneSpec.from_json(self.record["spec"])
            self.task: Task = finished.task if finished else task_from_json(self.record["task"])
            self.metrics = {k: float(v) for k, v in self.record["results"]["metrics"].items()}
            self._trained_on = _TrainedOn.from_json(self.record["data"])
            self._reading = modality_of(self.spec).reading(self.spec, self.record["data"])
        except (LookupError, TypeError, ValueError, AttributeError, ZooError) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else f"is damaged: {error}"
            raise RunError(f"{self.folder / LOCK_FILE} {reason}") from error

    @property
    def folder(self) -> Path:
        """As it was given, as long as that leads there; after a change of directory, absolute."""
        return (
            self._given if os.path.abspath(self._given) == str(self._absolute) else self._absolute
        )

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}: {self.backbone_name}, {len(self.classes)} classes)"

    @property
    def backbone_name(self) -> str:
        """The canonical name of the backbone."""
        return str(self.record["backbone"])

    @property
    def modality(self) -> Modality:
        """What its inputs are: images, texts."""
        return modality_of(self.spec)

    @property
    def classes(self) -> tuple[str, ...]:
        """The user's class names, or columns of numbers, in the order of the outputs."""
        return tuple(self.record["classes"])

    @property
    def pairs(self) -> bool:
        """Whether the inputs are pairs of texts."""
        return len(self._trained_on.columns.inputs) == 2

    @property
    def learned_columns(self) -> Columns:
        """The columns of the table that it was trained on; none of folders."""
        return self._trained_on.learned

    def next_command(self) -> str:
        """A command that tries the run on one of its validation inputs."""
        example = self.record["example"]
        given = str(self.folder / example) if example == EXAMPLE else example
        return modality_of(self.spec).predict_command(shlex.quote(str(self.folder)), given)

    @python_names()
    def load(self) -> Backbone:
        """The fine-tuned backbone with its head, on the CPU, in evaluation mode.

        Raises:
            RunError: The weights are damaged or gone, or the record asks for something else.
        """
        (self._registry or Registry.discover()).check_loader(self.spec, self.folder)
        path = self.folder / MODEL
        try:
            refuse_larger(self.spec, path)
            unpadded = self.record.get("unpadded")
            backbone = build(
                self.spec, None, unpadded=unpadded if unpadded in (True, False) else None
            )
        except (WeightsError, PluginError) as error:
            raise self._unloadable(error) from error
        head = make_head(
            self.record["head"],
            self.spec.feature_dim,
            len(self.classes),
            bias=backbone.head_bias,
        )
        backbone.replace_head(head)
        apply_surgery(backbone, self.record["surgery"], self._surgery)
        backbone.unfreeze()
        try:
            backbone.load_native_state_dict(
                read_state_dict(path), strict_head=True, source=f"the weights in {path}"
            )
        except ZooError as error:
            raise self._unloadable(error) from error
        return backbone.eval()

    def _unloadable(self, error: ZooError) -> RunError:
        return RunError(f"the run {self.folder} cannot be loaded: {error.message}", hint=error.hint)

    @python_names()
    def predict(
        self,
        inputs: Sequence[Any],
        *,
        text_column: ColumnNames = None,
        threshold: float | None = None,
        bad_files: BadFiles = "error",
        quoting: Quoting | None = None,
        device: str = "auto",
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> list[AnyPrediction]:
        """Class probabilities, or numbers, for images or texts, in the order given.

        Args:
            inputs: Paths of images, folders of them, tables, Pillow images, or texts. For a
                run on pairs, tables and tuples of two texts.
            text_column: The column of a table that holds the input, or the two of pairs; by
                default that of training.
            threshold: The probability from which on an input has a class, 0.5 by default; only
                where several classes may be.
            quoting: As in training, which is also the default.
            bad_files: ``error`` stops at an input that cannot be read; with ``skip`` a
                ``NoPrediction`` with the reason stands in its place.
            device: ``auto``, ``cpu``, ``cuda``, …
            workers: Processes that prepare images.
            reporter: Sees the steps.

        Raises:
            DataError: An input cannot be read, or is of another modality; or none can be read.
            UsageError: A threshold that is not a probability, or has no use for the task.
        """
        self._check_threshold(threshold)
        lost: dict[int, BadInput] = {}
        findings, trained = Findings("error"), self._trained_on
        samples = open_inputs(
            inputs,
            modality_of(self.spec),
            text_column or trained.columns.inputs,
            pairs=self.pairs,
            lost=lost if bad_files == "skip" else None,
            learned=trained.learned,
            findings=findings,
            quoting=quoting or trained.columns.quoting,
        )
        for fact in findings.notes:
            (reporter or Quiet()).note(fact)
        if bad_files == "skip":
            samples = without_unreadable(samples, lost, self.reading)
        logits, found = self._logits(samples, device=device, workers=workers, reporter=reporter)
        predictions = predictions_of(
            self.task,
            samples,
            self.task.decode(logits),
            self.classes,
            threshold=THRESHOLD if threshold is None else threshold,
            unread=found.names,
        )
        for place in sorted(lost):
            predictions.insert(place, NoPrediction(*lost[place]))
        return predictions

    @python_names()
    def predictor(self, *, device: str = "auto") -> Predictor:
        """The run held ready to answer a few inputs at a time, as a server does.

        Args:
            device: ``auto``, ``cpu``, ``cuda``, …

        Raises:
            RunError: The run cannot be loaded.
        """
        return Predictor(
            self._forward(device),
            preparer=modality_of(self.spec).preparer(
                self.spec, tokenizer=self.tokenizer, pairs=self.pairs, reading=self.reading
            ),
            task=self.task,
            classes=self.classes,
        )

    def _check_threshold(self, threshold: float | None) -> None:
        if threshold is None:
            return
        if not self.task.several:
            raise UsageError(
                f"this run is {self.task.name}, and a threshold is for multi-label ones",
                hint="Leave --threshold out.",
            )
        if not 0 <= threshold <= 1:
            raise UsageError(
                f"--threshold must be in [0, 1], got {threshold:g}",
                hint="It is the probability from which a label is predicted.",
            )

    @python_names()
    def evaluate(
        self,
        data: str | Path,
        *,
        split: str | None = None,
        text_column: ColumnNames = None,
        label_column: ColumnNames = None,
        bad_files: BadFiles = "error",
        quoting: Quoting | None = None,
        device: str = "auto",
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> dict[str, Evaluation]:
        """How well the run does on labelled data, by split: ``val`` and ``test`` where both are.

        Data without splits is one split, ``all``, unless it is what the run was trained on:
        then the same samples as in training are held out again. What the run was trained on is
        recognised by its contents and left out of all else; of data without splits the rest is
        called ``unseen``.

        Args:
            data: A folder, a table, or ``hf:<name>``.
            split: One split alone.
            text_column: As in training, which is also the default.
            label_column: As in training, which is also the default.
            bad_files: ``error``, or ``skip`` for leaving them out.
            quoting: As in training, which is also the default.
            device: ``auto``, ``cpu``, ``cuda``, …
            workers: Processes that prepare images.
            reporter: Sees the steps.

        Raises:
            ClassesError: The data has a class that the run does not know.
            DataError: The data are of another task, or the run was trained on all of them.
        """
        chosen = self._held_out(
            data,
            split,
            text_column=text_column,
            label_column=label_column,
            bad_files=bad_files,
            quoting=quoting,
            reporter=reporter or Quiet(),
        )
        results = {}
        for name, own in chosen.items():
            samples = own.samples
            logits, found = self._logits(samples, device=device, workers=workers, reporter=reporter)
            assert samples.labels is not None
            results[name] = replace(
                self.task.evaluation(logits, samples.labels, self.classes),
                left_out=own.left_out,
                trained_on=own.trained_on,
                notes=(*own.notes, *found.facts),
            )
        return results

    def _held_out(
        self,
        data: str | Path,
        split: str | None,
        *,
        text_column: ColumnNames = None,
        label_column: ColumnNames = None,
        bad_files: BadFiles,
        quoting: Quoting | None = None,
        reporter: Reporter,
    ) -> dict[str, EvaluationSamples]:
        """What an evaluation on ``data`` measures, by split; arguments as of :meth:`evaluate`."""
        trained = self._trained_on
        splits = open_data(
            data,
            kind=modality_of(self.spec),
            tasks=(self.task,),
            need="evaluate",
            known_classes=self.classes,
            val_split=trained.val_split,
            seed=trained.seed,
            text_column=text_column or trained.columns.inputs,
            label_column=label_column or trained.columns.labels,
            learned=trained.learned,
            bad_files=bad_files,
            quoting=quoting or trained.columns.quoting,
        )
        for fact in splits.notes:
            reporter.note(fact)
        held_out = splits.to_evaluate(trained_on=trained.fingerprint)
        if split is not None and split not in held_out:
            raise RunError(f"{data} has no split {split!r}", hint=f"It has: {', '.join(held_out)}.")
        chosen = held_out if split is None else {split: held_out[split]}
        digests = read_digests(self.folder)
        if digests is None and any(s.fingerprint != trained.val for s in chosen.values()):
            reporter.note(
                f"{self.folder} does not say what it was trained on: samples of that may be among "
                "these"
            )
        found = evaluation_samples(chosen, digests, trained.val)
        if self.reading is None or bad_files == "error":  # reading then stops at the first misfit
            return found
        fitting = {name: _fitting(own, self.reading) for name, own in found.items()}
        for own in fitting.values():
            for fact in own.notes:
                reporter.note(fact)
        return fitting

    @python_names()
    def evaluated(
        self,
        data: str | Path | None = None,
        *,
        split: str | None = None,
        device: str = "auto",
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> tuple[EvaluatedSamples, Samples | None, str]:
        """What the run says of labelled samples, one by one.

        Args:
            data: As of :meth:`evaluate`; of several splits ``test``. Without it, what the run has
                kept of its validation samples; nothing is computed then.
            split: One split of ``data``.
            device: ``auto``, ``cpu``, ``cuda``, …
            workers: Processes that prepare images.
            reporter: Sees the steps.

        Returns:
            What it says; the samples, of ``data`` alone; and what they are, in words.

        Raises:
            RunError: ``predictions.parquet`` is gone or damaged.
            ZooError: As of :meth:`evaluate`.
        """
        if data is None:
            if split is not None:
                raise UsageError(f"--split {split} is of --data, which is not given")
            return self._kept_predictions(), None, "validation samples"
        request = self.record.get("request") or {}
        skip: BadFiles = "skip" if request.get("bad_files") == "skip" else "error"
        held_out = self._held_out(data, split, bad_files=skip, reporter=reporter or Quiet())
        name = "test" if "test" in held_out else next(iter(held_out))
        samples = held_out[name].samples
        logits, _ = self._logits(samples, device=device, workers=workers, reporter=reporter)
        said = evaluated_samples(samples, self.task.decode(logits))
        words = {"val": "validation samples", "test": "test samples"}.get(name, "samples")
        left = held_out[name].left_out
        but = f", but for {left:,} that the run was trained on" if left else ""
        return said, samples, f"{words} of {data}{but}"

    @python_names()
    def report(
        self,
        output: str | Path | None = None,
        *,
        data: str | Path | None = None,
        split: str | None = None,
        samples: Samples | None = None,
        device: str = "auto",
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> Report:
        """Write the run's report, one HTML file that needs nothing from outside.

        Args:
            output: Where; ``report.html`` in the run folder by default.
            data: Labelled data to judge the run on, as of :meth:`evaluate`; by default what it
                has kept of its validation samples, whose inputs are looked for where they were.
            split: One split of ``data``.
            samples: The validation samples, where they are open already.
            device: Where the network is asked what it looked at.
            workers: Processes that prepare images.
            reporter: Sees the steps.

        Raises:
            RunError: The run folder is damaged, or the page cannot be written.
            ZooError: As of :meth:`evaluate`.
        """
        said, opened, words = self.evaluated(
            data, split=split, device=device, workers=workers, reporter=reporter
        )
        absent = ""
        if opened is None:
            opened, absent = (samples, "") if samples is not None else self._validation_again()
        subject = Subject(
            folder=self.folder,
            record=self.record,
            history=self._history(),
            task=self.task,
            evaluated=said,
            evaluated_on=words,
            samples=opened,
            absent=absent,
            network=lambda: self._loaded,
            loaders=LoaderFactory(spec=self.spec, tokenizer=self.tokenizer, workers=workers),
            device=choose_device(device),
        )
        path = Path(output) if output is not None else self.folder / REPORT
        try:
            return write_report(path, subject)
        except OSError as error:
            raise RunError(
                f"the report cannot be written to {path}: {error.strerror or error}",
                hint="Give another place with --output FILE.",
            ) from error

    @python_names()
    def mistakes(self) -> Mistakes:
        """The validation samples that the run got wrong, the worst first.

        Images are looked for in the folder that the run was trained on, and nowhere else.

        Raises:
            RunError: ``predictions.parquet`` is damaged.
        """
        source = str(self.record["data"].get("source", ""))
        return read_mistakes(
            self.folder / PREDICTIONS,
            task=self.task,
            modality=self.modality,
            pairs=self.pairs,
            source=source,
        )

    def _kept_predictions(self) -> EvaluatedSamples:
        if self._finished:
            return self._finished.evaluated
        return read_predictions(self.folder / PREDICTIONS, self.classes, task=self.task)

    def _history(self) -> Sequence[Mapping[str, Any]]:
        return self._finished.history if self._finished else read_history(self.folder / METRICS)

    def _validation_again(self) -> tuple[Samples | None, str]:
        """The validation samples that the run had, or why they are not to be had."""
        if "request" not in self.record:
            return None, "the run does not say where its data were"
        try:
            with no_network():  # a run.json may name any dataset, and the user's token goes along
                splits = open_requested(
                    Request.from_json(self.record["request"]), modality_of(self.spec)
                )
        except ZooError as error:
            return None, f"its data are not at hand: {error.message}"
        if splits.fingerprint != self._trained_on.fingerprint:
            return None, f"the data have changed since: {splits.source}"
        return splits.val, ""

    def _logits(
        self, samples: Samples, *, device: str, workers: int | None, reporter: Reporter | None
    ) -> tuple[Tensor, NotSeen]:
        """The outputs ``(N, outputs)`` for all samples, and what of those was not read."""
        forward, reporter = self._forward(device), reporter or Quiet()
        loaders = LoaderFactory(spec=self.spec, tokenizer=self.tokenizer, workers=workers)
        with loaders.plain(samples, self.reading) as loader:
            logits = forward.predict(loader, count=len(samples), reporter=reporter)
            found = modality_of(self.spec).not_seen(loader, self.spec)
        for fact in found.facts:
            reporter.note(fact)
        return logits, found

    @property
    def reading(self) -> Reading | None:
        """How inputs are read, where there is something to watch."""
        return self._reading

    def _forward(self, device: str) -> Forward:
        place = choose_device(device)
        precision = self.record["precision"] if place.type == self.record["device"] else "fp32"
        return Forward(self._loaded, device=place, precision=precision)

    @property
    def _loaded(self) -> Backbone:
        if self._backbone is None:
            self._backbone = self.load()
        return self._backbone

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer that the run was trained with; ``None`` for images.

        Raises:
            RunError: It cannot be read.
        """
        if not self.spec.input.tokens:
            return None
        return read_tokenizer(self.folder / TOKENIZER)


def _fitting(own: EvaluationSamples, reading: Reading) -> EvaluationSamples:
    """What can be measured of a split: without images that are on another scale than training's.

    Raises:
        BadFilesError: That would leave nothing.
    """
    samples = own.samples
    misfits = reading.misfits(samples.traits) if samples.traits is not None else {}
    good = [i for i in range(len(samples)) if i not in misfits]
    if not misfits:
        return own
    findings = Findings("skip" if good else "error")
    for i, reason in misfits.items():
        findings.add(samples.input(i), reason)
    findings.check()
    first = findings.skipped[0] + (", …" if len(misfits) > 1 else "")
    words = f"{len(misfits):,} of {len(samples):,} images are left out ({first})"
    return replace(own, samples=samples.select(good), notes=(words,))


@dataclass(frozen=True)
class _TrainedOn:
    """What an evaluation needs to know of the training data.

    Attributes:
        columns: Those that were named, and as learned ones those that were read.
        val_split: The share that was held out.
        seed: Decided which samples that was.
        fingerprint: Of the data.
        val: The fingerprint of the validation samples.
    """

    columns: Columns
    val_split: float
    seed: int
    fingerprint: str
    val: str

    @property
    def learned(self) -> Columns:
        """The columns that were read."""
        columns = self.columns
        return Columns(columns.learned_inputs, columns.learned_labels, quoting=columns.quoting)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """From ``data`` of ``run.json``.

        Raises:
            TypeError, ValueError, ZooError: It is something else.
        """
        read = data["columns"]
        found = Columns.named(_names(read["inputs"]), _names(read["labels"]))
        named = Columns.named(data["text_column"], data["label_column"], _quoting(data["quoting"]))
        columns = named.learned(found)
        share = float(data["val_split"])
        check_share(share)
        if not all(isinstance(name, str) for name in (*columns.inputs, *columns.labels)):
            raise TypeError("columns that are not names")
        return cls(
            columns,
            val_split=share,
            seed=int(data["split_seed"]),
            fingerprint=str(data["fingerprint"]),
            val=str(data["val_fingerprint"]),
        )


def _names(given: Any) -> list[str]:
    """Names of columns, as ``run.json`` lists them."""
    if not (isinstance(given, list) and all(type(n) is str for n in given)):
        raise TypeError("columns that are not a list of names")
    return given


def _quoting(given: Any) -> Quoting:
    """How tables are written, as ``run.json`` says."""
    if given not in QUOTINGS:
        raise ValueError(f"quoting {given!r}")
    found: Quoting = given
    return found
