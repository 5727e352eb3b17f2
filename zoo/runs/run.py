"""A finished fine-tune: prediction, evaluation and reports."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from zoo.data.memory.source import DataSource
from zoo.data.reports import BadFiles
from zoo.data.samples import Samples
from zoo.data.sources.columns import ColumnNames
from zoo.data.sources.dialects import Quoting
from zoo.engine.forward import Forward
from zoo.engine.progress import Quiet, Reporter
from zoo.runs import evaluating, predicting, reporting
from zoo.runs.ensemble_predictor import EnsemblePredictor
from zoo.runs.folder import EXAMPLE, PREDICTIONS
from zoo.runs.limits import Threshold, limits_of
from zoo.runs.mistakes import Mistakes, read_mistakes
from zoo.runs.predictions import EvaluatedSamples, PredictionList
from zoo.runs.predictor import Predictor
from zoo.runs.report.page import Report
from zoo.runs.shown import ShownRun
from zoo.runs.test_time import note_cost, refuse_beside
from zoo.tasks.evaluation import Evaluation


class Run(ShownRun):
    """A finished fine-tune, opened from its folder. It needs nothing but that folder.

    Args:
        folder: Written by ``zoo finetune``, or the name that ``zoo add`` gave it.
        surgery: The function that changed the backbone before training, if one did.
        network: For a run of your own network, that network or a function that builds it; needed
            if zoo cannot import its code, or does not trust it.
        registry: Plugins that may build the backbone; the installed ones by default.

    Attributes:
        folder: The run folder.
        record: Contents of ``run.json``.
        spec: The backbone's spec, with the input that it was trained on.
        task: What the outputs mean.
        metrics: The task's metrics on the validation split: ``accuracy``, ``macro_f1``, ``loss``.

    Raises:
        RunError: ``run.json`` is missing or damaged, or the run is not finished.
    """

    def next_command(self) -> str:
        """A command that predicts one of its validation inputs."""
        example = self.record["example"]
        is_example = self.modality.in_files and os.path.splitext(example)[0] == EXAMPLE
        given = str(self.folder / example) if is_example else example
        return self.modality.predict_command(shlex.quote(str(self.folder)), given)

    def predict(
        self,
        inputs: Any,
        *,
        text_column: ColumnNames = None,
        threshold: Threshold = None,
        coverage: float | None = None,
        reject: float | None = None,
        tta: bool = False,
        bad_files: BadFiles = "error",
        quoting: Quoting | None = None,
        device: str = "auto",
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> PredictionList:
        """Predict classes with probabilities, or regression targets, in the order of the inputs.

        Probabilities are calibrated: logits are divided by the temperature in ``calibration.json``.

        The result is a list, with ``to_pandas()``.

        Args:
            inputs: One input or a list of them. Paths of images, folders of them, tables, texts,
                or images in memory: Pillow's; arrays ``(H, W)`` or ``(H, W, C)``; tensors
                ``(C, H, W)``. Bytes are of 0 to 255, floats of 0 to 1; deeper values are on the
                scale of the training images. For a run on pairs, tables and tuples of two texts.
                Or a DataFrame or ``datasets.Dataset``, read as in training.
            text_column: Input column of a table, or the two of pairs; by default as in training.
            threshold: Probability from which a label is predicted, 0.5 by default, or by class.
                Instead of a number, ``f1``: the one with the highest F1 on the validation samples; or
                ``cost:5``: the cheapest there, if a missed label costs 5 times as much as a false
                one. For multi-label, and by name for one of two classes.
            coverage: Adds prediction sets, for regression intervals: the true class of a new input
                is in its set, the true value of a target in its interval, with at least this
                probability. Not for multi-label.
            reject: Marks inputs unlike the training data as rejected: farther from it than this share
                of the validation samples is, so that about this share of usual inputs is.
            tta: Test-time augmentation: predict the mean over views of each input, such as an image
                and its mirror image. Takes as many times the computation.
            bad_files: ``error`` stops at an unreadable input; ``skip`` puts a ``NoPrediction``
                with the reason in its place.
            quoting: Quoting of tables; by default as in training.
            device: ``auto``, ``cpu``, ``cuda``, …
            workers: Number of data-loading processes.
            reporter: Gets notes and steps.

        Raises:
            DataError: An input cannot be read or is of another modality, or none is readable.
            UsageError: A value is out of range, or does not apply to the run.
        """
        if tta:
            refuse_beside(coverage, reject)
        limits = limits_of(self, threshold, coverage, reject)
        reporter = reporter or Quiet()
        if tta:
            note_cost(self.views(), reporter)
        samples, unreadable = predicting.open_new(
            self,
            inputs,
            text_column=text_column,
            bad_files=bad_files,
            quoting=quoting,
            reporter=reporter,
        )
        predictions = predicting.predict(
            self, samples, limits=limits, tta=tta, device=device, workers=workers, reporter=reporter
        )
        predicting.put_back(predictions, unreadable)
        return predictions

    def predictor(self, *, device: str = "auto") -> Predictor:
        """A loaded run for a few inputs at a time, as a server needs it.

        Args:
            device: ``auto``, ``cpu``, ``cuda``, …

        Raises:
            RunError: The run cannot be loaded.
        """
        if not self.members:
            return self.predictor_of(self.forward(device))
        return EnsemblePredictor(
            [member.predictor(device=device) for member in self.members],
            [self.columns_of(member) for member in self.members],
            task=self.task,
            classes=self.classes,
            temperature=self.temperature,
            limits=partial(limits_of, self),
        )

    def predictor_of(
        self, forward: Forward, *, using: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> Predictor:
        """As :meth:`predictor`, with a network that is loaded already.

        Args:
            forward: The network of this run.
            using: A context in which it is that; see :class:`Predictor`.
        """
        return Predictor(
            forward,
            using=using,
            preparer=self.modality.preparer(
                self.spec, tokenizer=self.tokenizer, pairs=self.pairs, reading=self.reading
            ),
            task=self.task,
            classes=self.classes,
            temperature=self.temperature,
            limits=partial(limits_of, self),
            bank=lambda: self.bank,
        )

    def evaluate(
        self,
        data: DataSource | None = None,
        *,
        split: str | None = None,
        metric: str | None = None,
        tta: bool = False,
        text_column: ColumnNames = None,
        label_column: ColumnNames = None,
        bad_files: BadFiles = "error",
        quoting: Quoting | None = None,
        device: str = "auto",
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> dict[str, Evaluation]:
        """Overall and per-class metrics on labelled data, by split: ``val``, ``test`` or both.

        Data without splits is one split, ``all``; of the data that the run was trained on, the
        same validation samples are held out again. Training samples are recognised by their
        contents and left out of any other data; the rest of data without splits is ``unseen``.

        Args:
            data: A folder, a table, ``hf:<name>``, or data in memory as for :func:`zoo.finetune`.
                By default the data that the run was trained on: its test split, else ``val``.
            split: Evaluate this split only.
            metric: A metric to compute, such as ``auroc``; by default the run's selection metric.
            tta: As for :meth:`predict`.
            text_column: By default as in training.
            label_column: By default as in training.
            bad_files: ``error``, or ``skip`` to leave unreadable inputs out.
            quoting: By default as in training.
            device: ``auto``, ``cpu``, ``cuda``, …
            workers: Number of data-loading processes.
            reporter: Gets notes and steps.

        Raises:
            ClassesError: The data has a class that the run does not know.
            DataError: The data is for another task, or holds training samples only.
            RunError: The run does not know where its own data is.
        """
        task = self.task if metric is None else self.task.selecting(self.find_metric(metric))
        if tta:
            note_cost(self.views(), reporter or Quiet())
        samples = partial(evaluating.held_out_samples, self, data)
        if data is None:
            samples = partial(evaluating.held_out_of_own, self)
        held_out = samples(
            split,
            text_column=text_column,
            label_column=label_column,
            bad_files=bad_files,
            quoting=quoting,
            reporter=reporter or Quiet(),
        )
        return evaluating.evaluate(
            self, held_out, task=task, device=device, workers=workers, reporter=reporter, tta=tta
        )

    def evaluated(
        self,
        data: DataSource | None = None,
        *,
        split: str | None = None,
        device: str = "auto",
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> tuple[EvaluatedSamples, Samples | None, str]:
        """Predictions for labelled samples, one by one.

        Args:
            data: As for :meth:`evaluate`; of several splits, ``test`` is used. By default the
                stored predictions for the validation samples, without computing anything.
            split: One split of ``data``.
            device: ``auto``, ``cpu``, ``cuda``, …
            workers: Number of data-loading processes.
            reporter: Gets notes and steps.

        Returns:
            The predictions with their labels; the samples (``None`` without ``data``); and a
            description of them, such as ``test samples of photos/``.

        Raises:
            RunError: ``predictions.parquet`` is missing or damaged.
            ZooError: As for :meth:`evaluate`.
        """
        return evaluating.evaluate_each(
            self, data, split=split, device=device, workers=workers, reporter=reporter
        )

    def report(
        self,
        output: str | Path | None = None,
        *,
        data: DataSource | None = None,
        split: str | None = None,
        samples: Samples | None = None,
        device: str = "auto",
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> Report:
        """Write the HTML report, one self-contained file.

        Args:
            output: ``report.html`` in the run folder by default.
            data: Labelled data, as for :meth:`evaluate`; by default the stored predictions for the
                validation samples, whose inputs are read from where they were.
            split: One split of ``data``.
            samples: The validation samples, if they are open already.
            device: Where heat maps are computed.
            workers: Number of data-loading processes.
            reporter: Gets notes and steps.

        Raises:
            RunError: The run folder is damaged, or the file cannot be written.
            ZooError: As for :meth:`evaluate`.
        """
        evaluated = self.evaluated(
            data, split=split, device=device, workers=workers, reporter=reporter
        )
        return reporting.report(
            self, output, evaluated, samples=samples, device=device, workers=workers
        )

    def worst_mistakes(self) -> Mistakes:
        """The worst mistakes on the validation samples, with thumbnails of images.

        Images are looked for in the folder that the run was trained on, and nowhere else.

        Raises:
            RunError: ``predictions.parquet`` is damaged.
        """
        return read_mistakes(
            self.folder / PREDICTIONS,
            task=self.task,
            pairs=self.pairs,
            modality=self.modality,
            source=str(self.record["data"].get("source", "")),
        )
