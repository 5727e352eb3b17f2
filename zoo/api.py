"""zoo in Python: list, load, fine-tune, open a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from zoo.contract.backbone import Backbone
from zoo.engine.checkpoint import SAVE_SECONDS
from zoo.engine.find_lr import Curve
from zoo.engine.heads import make_head
from zoo.engine.progress import Console, Reporter
from zoo.engine.surgery import Surgery, name_of
from zoo.errors import WeightsError
from zoo.registry.registry import Registry
from zoo.registry.run_record import FinishedRun
from zoo.runs.option_types import FinetuneOptions
from zoo.runs.python_names import python_names
from zoo.runs.request import Request
from zoo.runs.run import Run
from zoo.training.finetune import find_rate, run
from zoo.training.resume import resume as go_on
from zoo.training.run_options import RunOptions
from zoo.training.start import for_weights, tokenizer_beside, weights_name
from zoo.weights.build import build, check_size
from zoo.weights.load import choose, fetch


@python_names()
def list_backbones(pattern: str = "*", *, registry: Registry | None = None) -> list[str]:
    """Canonical names that match ``pattern``: a glob, or a part of the name."""
    return (registry or Registry.discover()).names(pattern)


@python_names()
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
            that of the run or the file, an identity where that has none.
        weights: ``auto``, ``none``, a tag, or a path.
        head: Kind of the new head.
        registry: What is installed by default.

    Raises:
        NameLookupError: There is no such backbone.
        WeightsError: The weights cannot be had or do not fit, or their head is not the one that
            they are said to have.
        RunError: The name stands for a run that cannot be read.
    """
    registry = registry or Registry.discover()
    resolved = registry.resolve(name)
    chosen = choose(resolved.spec, weights_name(resolved, weights))
    if resolved.run is not None and chosen == resolved.run.weights:
        backbone = _of_run(resolved.run, registry, with_head=classes is None)
    else:
        backbone = build(for_weights(resolved.spec, chosen), chosen)
    if classes is not None:
        new = make_head(
            head,
            backbone.spec.feature_dim,
            classes,
            registry=registry,
            bias=backbone.head_bias,
        )
        backbone.replace_head(new)
    elif backbone.head_flaw:
        raise WeightsError(
            f"the published head of {resolved.spec.name} cannot be had from the weights "
            f"{chosen.tag if chosen else ''}: {backbone.head_flaw}",
            hint="zoo.load(…, classes=N) puts a new head with N outputs.",
        )
    for note in backbone.weights_notes:
        warnings.warn(f"{resolved.spec.name}: {note}", stacklevel=3)
    return backbone


def _of_run(run: FinishedRun, registry: Registry, *, with_head: bool) -> Backbone:
    """What a published run has learned, with its tokenizer, and with its head where that is wanted."""
    path = fetch(run.weights)
    if with_head:
        backbone = Run(run.folder, registry=registry).load().train()
    else:
        check_size(run.spec, path)
        backbone = build(run.spec, run.weights)
    if run.spec.input.tokens and backbone.tokenizer is None:
        backbone.tokenizer = tokenizer_beside(path)
    return backbone


@python_names()
def open_run(folder: str | Path, *, surgery: Surgery | None = None) -> Run:
    """The run that ``zoo finetune`` wrote to ``folder``.

    Args:
        folder: A run folder.
        surgery: The function that changed the backbone before it trained, if one did.
    """
    return Run(folder, surgery=surgery)


@python_names()
def finetune(
    backbone: str,
    data: str | Path | None = None,
    *,
    recipe: Mapping[str, Any] | None = None,
    surgery: Surgery | None = None,
    output: str | Path | None = None,
    save_every: float = SAVE_SECONDS,
    track: str | None = None,
    report: bool = True,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
    **options: Unpack[FinetuneOptions],
) -> Run:
    """Fine-tune a backbone and write a run folder.

    Ctrl-C (or SIGTERM) finishes the step, saves the state, and raises :class:`zoo.errors.Stopped`;
    :func:`resume` goes on from there.

    Args:
        backbone: As in ``zoo list``.
        data: A folder, a table, ``hf:<name>``; without it the demo data.
        recipe: Options as a mapping; those that are given by keyword take precedence.
        surgery: Changes the backbone before it trains, and again whenever the run is opened.
        output: The run folder; ``runs/<name>-<number>`` by default.
        save_every: Seconds between two saves of the state that :func:`resume` needs.
        track: ``tensorboard``, ``wandb``, ``mlflow``, … of those that Accelerate knows.
        report: Whether the run gets its ``report.html``; :meth:`Run.report` writes it later too.
        registry: What is installed by default.
        reporter: Sees what happens; standard error by default.
        options: Those of ``zoo finetune``, by the names in :class:`FinetuneOptions`.

    Raises:
        UsageError: There is no such option, it must not have that value, or it has no effect.
        ZooError: Anything else that the user can put right. Before training starts nothing has
            been written then.
    """
    request = Request.from_options(
        backbone, data, {**(recipe or {}), **options}, surgery=name_of(surgery)
    )
    run_options = _run_options(registry, reporter, surgery, save_every, track, report)
    return run(request, Path(output) if output else None, run_options)


@python_names()
def find_lr(
    backbone: str,
    data: str | Path | None = None,
    *,
    recipe: Mapping[str, Any] | None = None,
    surgery: Surgery | None = None,
    output: str | Path | None = None,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
    **options: Unpack[FinetuneOptions],
) -> tuple[Path, Curve]:
    """Measure which learning rate suits: it rises from step to step while the loss is watched.

    Args:
        backbone: As for :func:`finetune`, and so the other arguments.
        data: A folder, a table, ``hf:<name>``; without it the demo data.
        recipe: Options as a mapping.
        surgery: Changes the backbone before it trains.
        output: The folder of the curve.
        registry: What is installed by default.
        reporter: Sees what happens; standard error by default.
        options: Those of :func:`finetune`.

    Returns:
        The folder with the curve, and the curve; ``suggestion`` is what to give as ``lr``.

    Raises:
        ZooError: Anything that the user can put right.
    """
    request = Request.from_options(
        backbone, data, {**(recipe or {}), **options}, surgery=name_of(surgery)
    )
    run_options = _run_options(registry, reporter, surgery)
    return find_rate(request, Path(output) if output else None, run_options)


def _run_options(
    registry: Registry | None,
    reporter: Reporter | None,
    surgery: Surgery | None,
    save_every: float = SAVE_SECONDS,
    track: str | None = None,
    report: bool = True,
) -> RunOptions:
    return RunOptions(
        registry=registry or Registry.discover(),
        reporter=reporter or Console(),
        surgery=surgery,
        save_every=save_every,
        track=track,
        report=report,
    )


@python_names()
def resume(
    folder: str | Path,
    *,
    surgery: Surgery | None = None,
    save_every: float = SAVE_SECONDS,
    track: str | None = None,
    report: bool = True,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
) -> Run:
    """Go on with a run that was stopped or killed; on a CPU it ends as if it had not been.

    Of a run that was killed after it had finished, remove what its training has left in the folder.

    Args:
        folder: The run folder.
        surgery: As it was given to :func:`finetune`.
        save_every: Seconds between two saves of the state.
        track: As for :func:`finetune`; by default as the run began, ``none`` for no more of it.
        report: As for :func:`finetune`.
        registry: What is installed by default.
        reporter: Sees what happens; standard error by default.

    Raises:
        RunError: The run is finished, or its data have changed.
    """
    return go_on(Path(folder), _run_options(registry, reporter, surgery, save_every, track, report))
