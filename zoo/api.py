"""The zoo in Python: list, load, fine-tune, open a run."""

from __future__ import annotations

from pathlib import Path

from zoo import job
from zoo.backbone import Backbone, build
from zoo.data.reports import BadFiles
from zoo.engine.progress import Console, Reporter
from zoo.heads import make_head
from zoo.registry import Registry
from zoo.run import Run
from zoo.run_record import FinishedRun
from zoo.spec import Pooling
from zoo.weights import choose, fetch


def list_backbones(pattern: str = "*", *, registry: Registry | None = None) -> list[str]:
    """Canonical names that match ``pattern``: a glob, or a part of the name."""
    return (registry or Registry.discover()).names(pattern)


def load(
    name: str,
    *,
    classes: int | None = None,
    weights: str = "auto",
    head: str = "linear",
    registry: Registry | None = None,
) -> Backbone:
    """A backbone, ready for anybody's own loop.

    Args:
        name: As in ``zoo list``; ``name.tag`` for certain weights; the name of a published run.
        classes: Puts a new head with so many outputs; without it the published head stays, or
            that of the run.
        weights: ``auto``, ``none``, a tag, or a path.
        head: Kind of the new head.
        registry: What is installed by default.

    Raises:
        NameLookupError: There is no such backbone.
        WeightsError: The weights cannot be had or do not fit.
        RunError: The name stands for a run that cannot be read.
    """
    registry = registry or Registry.discover()
    resolved = registry.resolve(name)
    chosen = choose(resolved.spec, job.wish(resolved, weights))
    if resolved.run is not None and chosen == resolved.run.weights:
        backbone = _of_run(resolved.run, with_head=classes is None)
    else:
        backbone = build(job.for_weights(resolved.spec, chosen), chosen)
    if classes is not None:
        new = make_head(head, backbone.spec.feature_dim, classes, registry=registry)
        backbone.replace_head(new)
    return backbone


def _of_run(run: FinishedRun, *, with_head: bool) -> Backbone:
    """What a published run has learnt, with its tokenizer, and with its head where that is wanted."""
    path = fetch(run.weights)
    backbone = Run(run.folder).load().train() if with_head else build(run.spec, run.weights)
    if run.spec.modality == "text" and backbone.tokenizer is None:
        backbone.tokenizer = job.tokenizer_beside(path)
    return backbone


def open_run(folder: str | Path) -> Run:
    """The run that ``zoo finetune`` wrote to ``folder``."""
    return Run(folder)


def finetune(
    backbone: str,
    data: str | Path | None = None,
    *,
    classes: int | None = None,
    strategy: str | None = None,
    freeze_until: str | None = None,
    head: str = "linear",
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    weight_decay: float | None = None,
    weights: str = "auto",
    precision: str = "auto",
    image_size: int | None = None,
    max_length: int | None = None,
    pooling: Pooling | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    val_split: float = 0.2,
    bad_files: BadFiles = "error",
    seed: int = 0,
    output: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
) -> Run:
    """Fine-tune a backbone and write a run folder; the options are those of ``zoo finetune``.

    Args:
        backbone: As in ``zoo list``.
        data: A folder, a table, ``hf:<name>``; without it the demo data.
        classes: How many classes the data must have; of the demo data, how many to take.
        strategy: ``probe``, ``full``, ``two-stage``, or a plugin's.
        freeze_until: The last stage that never trains.
        head: Kind of the head.
        epochs: Passes of the strategy's last phase.
        lr: Learning rate of the strategy's last phase.
        batch_size: Samples a step.
        weight_decay: AdamW's decoupled decay.
        weights: ``auto``, ``none``, a tag, or a path.
        precision: ``auto``, ``fp32``, ``bf16``.
        image_size: Height and width in pixels.
        max_length: Tokens a text is cut to.
        pooling: ``cls``, ``mean``, ``last`` or ``pooler``, for texts.
        text_column: Column of a table that holds the texts, or the paths of pictures.
        label_column: Column of a table that holds the labels.
        val_split: Share held out where the data has no validation split.
        bad_files: ``error``, or ``skip`` for leaving them out.
        seed: Of everything random.
        output: The run folder; ``runs/<name>-<number>`` by default.
        device: ``auto``, ``cpu``, ``cuda``, …
        workers: Processes that prepare pictures.
        registry: What is installed by default.
        reporter: Sees what happens; standard error by default.

    Raises:
        ZooError: Anything that the user can put right; nothing has been written then.
    """
    request = job.Request(
        backbone=backbone,
        data=data,
        classes=classes,
        strategy=strategy,
        freeze_until=freeze_until,
        head=head,
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        weight_decay=weight_decay,
        weights=weights,
        precision=precision,
        image_size=image_size,
        max_length=max_length,
        pooling=pooling,
        text_column=text_column,
        label_column=label_column,
        val_split=val_split,
        bad_files=bad_files,
        seed=seed,
        output=Path(output) if output else None,
        device=device,
        workers=workers,
    )
    return job.run(request, registry or Registry.discover(), reporter or Console())
