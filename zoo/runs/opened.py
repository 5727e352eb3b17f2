"""A run folder, opened: its record, its files, and its network when that is needed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import Tensor

from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import BackboneSpec
from zoo.data.samples import Samples
from zoo.data.sources.columns import Columns
from zoo.engine.device import choose_device
from zoo.engine.forward import Forward
from zoo.engine.heads import find_head, make_head
from zoo.engine.loader_factory import LoaderFactory
from zoo.engine.progress import Quiet, Reporter
from zoo.engine.surgery import Surgery, apply_surgery
from zoo.engine.user_network.network import OwnNetwork
from zoo.engine.user_network.reopening import network_of_run
from zoo.errors import (
    NameLookupError,
    PluginError,
    RunError,
    UsageError,
    WeightsError,
    ZooError,
)
from zoo.modalities import Modality, modality_of
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.not_seen import NotSeen
from zoo.modalities.views import View
from zoo.registry.modalities import installed_modalities
from zoo.registry.registry import Registry
from zoo.registry.run_record import damaged, require_modality
from zoo.runs.calibration_file import CALIBRATION, FittedCalibration, read_calibration
from zoo.runs.feature_bank import FeatureBank, read_bank
from zoo.runs.folder import MEMBERS, METRICS, MODEL, PREDICTIONS, TOKENIZER, Finished, read_record
from zoo.runs.predictions import EvaluatedSamples, read_predictions
from zoo.runs.report.subject import read_history
from zoo.runs.test_time import averaging, views_of
from zoo.runs.tokenizer_file import read_tokenizer
from zoo.runs.training_data import TrainingData
from zoo.tasks import task_from_json
from zoo.tasks.metrics import Selection, find_metric
from zoo.tasks.task import Task
from zoo.weights.loading.build import build, build_adapted, check_size
from zoo.weights.loading.load import read_state_dict


class OpenedRun:
    """A finished fine-tune, opened from its folder; :class:`zoo.Run` adds what it can do.

    Args:
        folder: Written by ``zoo finetune``, or the name that ``zoo add`` gave it.
        surgery: The function that changed the backbone before training, if one did.
        network: For a run of a user's own network, that network or a function that builds it;
            needed if zoo cannot import its code, or does not trust it.
        registry: Plugins that may build the backbone; the installed ones by default.
        base: The base of an adapter run, if it has moved: a file, a folder or a run.
        backbone: The result of :meth:`load`, if the caller has it already.
        finished: The contents of the files, if the caller has just written them.

    Attributes:
        record: Contents of ``run.json``.
        spec: The backbone's spec, with the input that it was trained on.
        task: What the outputs mean.
        metrics: The task's metrics on the validation split: ``accuracy``, ``macro_f1``, ``loss``.
        surgery: The function that changed the backbone before training, as it was passed.
        training_data: Facts of the data that it was trained on.
        reading: How images are read, if their value range matters; else ``None``.

    Raises:
        RunError: ``run.json`` is missing or damaged, or the run is not finished.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        surgery: Surgery | None = None,
        network: Any = None,
        registry: Registry | None = None,
        base: str | Path | None = None,
        backbone: Backbone | None = None,
        finished: Finished | None = None,
    ) -> None:
        self._given = _folder_of(folder, registry)
        self._name = "" if self._given == Path(folder) else str(folder)
        self._absolute = Path(os.path.abspath(self._given))
        self.surgery, self._network, self._registry = surgery, network, registry
        self._base = Path(os.path.expanduser(base)) if base else None
        self._backbone, self._finished = backbone, finished
        self.record = finished.record if finished else read_record(self.folder)
        if registry is None:
            installed_modalities()  # discovers the plugins, which a registry has done
        require_modality(self.folder, self.record)
        try:
            self.spec = BackboneSpec.from_json(self.record["spec"])
            self.task: Task = finished.task if finished else self._recorded_task()
            self.metrics = {
                key: math.nan if value is None else float(value)  # undefined on its data
                for key, value in self.record["results"]["metrics"].items()
            }
            self.training_data = TrainingData.from_json(self.record["data"])
            self.reading: Reading | None = self.modality.reading(self.spec, self.record["data"])
        except RunError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ZooError) as error:
            raise damaged(self.folder, error) from error

    def _recorded_task(self) -> Task:
        """The task and metric in the record; an error names the plugin that they need."""
        try:
            return task_from_json(self.record["task"], self._registry)
        except (NameLookupError, UsageError):
            registry = self._registry or Registry.discover()
            registry.require(self.record.get("plugins", {}), f"the run {self.folder}")
            raise

    def opened_again(self) -> Self:
        """The same run, with a network of its own."""
        return type(self)(
            self.folder,
            surgery=self.surgery,
            network=self._network,
            registry=self._registry,
            base=self._base,
        )

    @property
    def folder(self) -> Path:
        """The run folder as given; absolute after a change of the working directory."""
        moved = os.path.abspath(self._given) != str(self._absolute)
        return self._absolute if moved else self._given

    @property
    def name(self) -> str:
        """The name from ``zoo add`` by which it was opened, else the name of its folder."""
        return self._name or self.folder.resolve().name

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({str(self.folder)!r}: {self.backbone_name}, {len(self.classes)} classes)"

    @property
    def backbone_name(self) -> str:
        """The canonical name of the backbone."""
        return str(self.record["backbone"])

    @property
    def modality(self) -> Modality:
        """The type of its inputs: images, texts, …"""
        return modality_of(self.spec)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, or regression targets, in the order of the outputs."""
        return tuple(self.record["classes"])

    @property
    def pairs(self) -> bool:
        """Whether the inputs are pairs of texts."""
        return len(self.training_data.columns.inputs) == 2

    @property
    def learned_columns(self) -> Columns:
        """The columns of the table that it was trained on; none for folders."""
        return self.training_data.learned

    @cached_property
    def members(self) -> tuple[Self, ...]:
        """The runs of an ensemble, opened; empty for any other run.

        Raises:
            RunError: One is missing or damaged.
        """
        found = (self.record.get("ensemble") or {}).get("members", ())
        folders = [f"{MEMBERS}/{number}" for number in range(1, len(found) + 1)]
        if [each.get("folder") for each in found] != folders:
            raise damaged(self.folder, ValueError(f"its members must be {', '.join(folders)}"))
        return tuple(
            type(self)(self.folder / each, network=self._network, registry=self._registry)
            for each in folders
        )

    def columns_of(self, other: OpenedRun) -> list[int]:
        """Where the outputs of another run have the classes of this one."""
        places = {name: place for place, name in enumerate(other.classes)}
        return [places[name] for name in self.classes]

    def load(self) -> Backbone:
        """The fine-tuned backbone with its head, on the CPU, in evaluation mode.

        For an adapter run: its base, fetched and verified, with the adapter added to its layers.

        Raises:
            RunError: The weights are missing or damaged, or do not fit the record; or the base of
                an adapter is not found, or is another one.
        """
        if self.members:
            raise RunError(
                f"{self.folder} is an ensemble of {len(self.members)} networks, and not one network",
                hint=f"Use one of its members, such as {self.members[0].folder}.",
            )
        registry = self._registry or Registry.discover()
        registry.require(self.record.get("plugins", {}), f"the run {self.folder}")
        path, network = self.folder / MODEL, self.network
        if network is None:
            registry.check_loader(self.spec, self.folder)
        if self.record.get("adapter") is not None:
            return self._load_adapter(registry)
        try:
            if network is None:
                check_size(self.spec, path)
            backbone = build(
                self.spec,
                None,
                unpadded=self.unpadded,
                loader=network.build if network else None,
            )
        except (WeightsError, PluginError) as error:
            raise self._unloadable(error) from error
        self.add_head(backbone, registry)
        backbone.unfreeze()
        try:
            backbone.load_native_state_dict(
                read_state_dict(path), strict_head=True, source=str(path)
            )
        except ZooError as error:
            raise self._unloadable(error) from error
        return backbone.eval()

    def _load_adapter(self, registry: Registry) -> Backbone:
        """The base with the adapter, which is not merged: its logits are those of training."""
        try:
            backbone = build_adapted(
                self.spec,
                self.folder,
                unpadded=self.unpadded,
                registry=registry,
                base=self._base,
                prepare=lambda backbone: self.add_head(backbone, registry),
            )
        except (WeightsError, PluginError) as error:
            raise self._unloadable(error) from error
        backbone.unfreeze()
        return backbone.eval()

    def add_head(self, backbone: Backbone, registry: Registry) -> None:
        """Add a head of the run's kind, and apply the surgery."""
        head = make_head(
            find_head(self.record["head"], registry),
            self.spec.feature_dim,
            len(self.classes),
            bias=backbone.head_bias,
        )
        backbone.replace_head(head)
        apply_surgery(backbone, self.record["surgery"], self.surgery)

    @property
    def unpadded(self) -> bool | None:
        """Whether texts are batched by length, as recorded; ``None`` if it is not."""
        unpadded = self.record.get("unpadded")
        return unpadded if unpadded in (True, False) else None

    @cached_property
    def network(self) -> OwnNetwork | None:
        """How to build the user's own network; ``None`` for a plugin's.

        Raises:
            RunError: It has to be passed: the message says what.
        """
        return network_of_run(self.folder, self.record, self.spec, self._network)

    def _unloadable(self, error: ZooError) -> RunError:
        return RunError(f"the run {self.folder} cannot be loaded: {error.message}", hint=error.hint)

    @property
    def backbone(self) -> Backbone:
        """The network of :meth:`load`, loaded once."""
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

    def find_metric(self, name: str) -> Selection:
        """The metric of that name for the run's task.

        Raises:
            UsageError: There is none.
        """
        return find_metric(name, self.task, registry=self._registry)

    def loaders(self, workers: int | None = None) -> LoaderFactory:
        """Makes data loaders that prepare inputs for the network."""
        return LoaderFactory(spec=self.spec, tokenizer=self.tokenizer, workers=workers)

    def forward(self, device: str) -> Forward:
        """The network on ``device``, in the precision of training if the device is of that type."""
        place = choose_device(device)
        precision = self.record["precision"] if place.type == self.record["device"] else "fp32"
        return Forward(self.backbone, device=place, precision=precision)

    def views(self) -> Sequence[View]:
        """The views of an input beside the input as it is, for test-time augmentation.

        Raises:
            UsageError: There are none.
        """
        return views_of(self.modality, self.spec, self.record["data"])

    def logits(
        self,
        samples: Samples,
        *,
        device: str,
        workers: int | None,
        reporter: Reporter | None,
        tta: bool = False,
        bank: FeatureBank | None = None,
    ) -> tuple[Tensor, NotSeen]:
        """The outputs ``(N, outputs)`` for all samples, and which parts of inputs were not seen.

        With ``tta``, they are logits of the mean of the probabilities over views of the inputs. With
        a bank, the distance of each sample from it is one more output. Those of an ensemble are
        logits of the mean of its members' probabilities.
        """
        if self.members:
            return self._mean_logits(samples, device, workers, reporter, tta=tta)
        views = self.views() if tta else ()
        forward, reporter = self.forward(device), reporter or Quiet()
        call = averaging(forward, self.task, views) if views else None
        if bank is not None:
            call = partial(forward.logits, score=bank.to(forward.device).distances)
        with self.loaders(workers).plain(samples, self.reading) as loader:
            logits = forward.predict(loader, count=len(samples), reporter=reporter, call=call)
            found = self.modality.not_seen(loader, self.spec)
        for fact in found.facts:
            reporter.note(fact)
        return logits, found

    def _mean_logits(
        self,
        samples: Samples,
        device: str,
        workers: int | None,
        reporter: Reporter | None,
        *,
        tta: bool,
    ) -> tuple[Tensor, NotSeen]:
        outputs, seen = [], []
        for number, member in enumerate(self.members):
            logits, found = member.logits(
                samples,
                device=device,
                workers=workers,
                reporter=None if number else reporter,  # notes once
                tta=tta,
            )
            outputs.append(member.task.decode(logits)[:, self.columns_of(member)])
            seen.append(found)
        return self.task.encode(np.mean(outputs, axis=0)).float(), seen[0]

    def kept_predictions(self) -> EvaluatedSamples:
        """The validation predictions in ``predictions.parquet``.

        Raises:
            RunError: The file is missing or damaged.
        """
        if self._finished:
            return self._finished.evaluated
        return read_predictions(self.folder / PREDICTIONS, self.classes, task=self.task)

    @cached_property
    def calibration(self) -> FittedCalibration | None:
        """What was fitted on the validation outputs; ``None`` if there is no ``calibration.json``.

        Raises:
            RunError: The file is damaged.
        """
        return read_calibration(self.folder / CALIBRATION, self.classes)

    @cached_property
    def bank(self) -> FeatureBank | None:
        """Features of training samples; ``None`` if the run does not keep them.

        Raises:
            RunError: The file is damaged.
        """
        return read_bank(self.folder, self.spec.feature_dim)

    @property
    def temperature(self) -> float:
        """The number that logits are divided by for calibrated probabilities; 1 if it is unknown."""
        return self.calibration.temperature if self.calibration else 1.0

    def epochs(self) -> Sequence[Mapping[str, Any]]:
        """The lines of ``metrics.jsonl``, one per epoch."""
        return self._finished.history if self._finished else read_history(self.folder / METRICS)


def _folder_of(given: str | Path, registry: Registry | None) -> Path:
    """The folder ``given``; if there is none, that of the run which ``zoo add`` gave this name.

    Raises:
        RunError: The run of that name cannot be read.
    """
    if not os.path.exists(given):
        registry = registry or Registry.discover()
        if str(given) in registry.policy.runs:
            run = registry.resolve(str(given)).run
            assert run is not None
            return run.folder
    return Path(given)
