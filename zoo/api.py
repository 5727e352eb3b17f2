"""zoo in Python: list, load, fine-tune, open a run.

What trains is imported inside the functions: opening a run takes half of its imports.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from zoo.contract.network.backbone import Backbone
from zoo.data.memory.source import DataSource, is_path, source_name
from zoo.engine.adapters import merge
from zoo.engine.checkpoint import SAVE_SECONDS
from zoo.engine.heads import find_head, make_head
from zoo.engine.progress import Console, Reporter
from zoo.engine.surgery import Surgery, name_of
from zoo.engine.user_network.network import OwnNetwork
from zoo.engine.user_network.wrapping import NetworkLike, named_network
from zoo.errors import WeightsError, in_python
from zoo.registry.listed import BackboneNames
from zoo.registry.registry import Registry
from zoo.registry.run_record import FinishedRun
from zoo.runs.option_types import FinetuneOptions
from zoo.runs.request import Request
from zoo.runs.run import Run
from zoo.weights.loading.build import build, check_size
from zoo.weights.loading.load import choose, fetch

if TYPE_CHECKING:
    from zoo.engine.find_lr import Curve
    from zoo.training.rerun import Repeat
    from zoo.training.run_options import RunOptions


def list_backbones(pattern: str = "*", *, registry: Registry | None = None) -> BackboneNames:
    """Canonical names that match ``pattern``: a glob, or a part of the name.

    The result is a list of strings; a notebook shows it as a table.
    """
    return BackboneNames((registry or Registry.discover()).rows(pattern))


def load(
    name: str,
    *,
    classes: int | None = None,
    weights: str = "auto",
    head: str = "linear",
    registry: Registry | None = None,
) -> Backbone:
    """Load a backbone for your own training loop.

    Args:
        name: As in ``zoo list``; ``name.tag`` selects weights; also the name of a registered run.
        classes: Number of outputs of a new head. By default the published head is kept, or that
            of the run or file; an identity if there is none.
        weights: ``auto``, ``none``, a tag, or a path.
        head: Kind of the new head.
        registry: The installed plugins by default.

    Raises:
        NameLookupError: The name is unknown.
        WeightsError: The weights are missing or do not fit, or their head is not the published
            one.
        RunError: The registered run cannot be read.
    """
    from zoo.training.requested_weights import for_weights, weights_name

    registry = registry or Registry.discover()
    resolved = registry.resolve(name)
    chosen = choose(resolved.spec, weights_name(resolved, weights))
    if resolved.run is not None and chosen == resolved.run.weights:
        backbone = _of_run(resolved.run, registry, with_head=classes is None)
    else:
        backbone = build(for_weights(resolved.spec, chosen), chosen)
    if classes is not None:
        new = make_head(
            find_head(head, registry),
            backbone.spec.feature_dim,
            classes,
            bias=backbone.head_bias,
        )
        backbone.replace_head(new)
    elif backbone.head_flaw:
        raise WeightsError(
            f"the published head of {resolved.spec.name} cannot be loaded from the weights "
            f"{chosen.tag if chosen else ''}: {backbone.head_flaw}",
            hint="Use zoo.load(…, classes=N) for a new head with N outputs.",
        )
    for note in backbone.weights_notes:
        warnings.warn(f"{resolved.spec.name}: {note}", stacklevel=3)
    return backbone


def _of_run(run: FinishedRun, registry: Registry, *, with_head: bool) -> Backbone:
    """The fine-tuned backbone of a registered run, with its tokenizer and optionally its head."""
    from zoo.training.start import tokenizer_beside

    path = fetch(run.weights)
    if with_head:
        backbone = Run(run.folder, registry=registry).load().train()
        merge(backbone)
    else:
        check_size(run.spec, path)
        backbone = build(run.spec, run.weights)
    if run.spec.input.tokens and backbone.tokenizer is None:
        backbone.tokenizer = tokenizer_beside(path)
    return backbone


def open_run(
    folder: str | Path,
    *,
    surgery: Surgery | None = None,
    network: NetworkLike | None = None,
    base: str | Path | None = None,
) -> Run:
    """Open a run folder of ``zoo finetune``.

    Args:
        folder: A run folder, or the name that ``zoo add`` gave it.
        surgery: The function that changed the backbone before training, if one did.
        network: Your own network that was trained, or a function that builds it, also as
            ``"my_file.py:build_net"``; not needed for a function that you have fine-tuned on this
            machine, as long as its file stays as it was.
        base: The base of an adapter run, where it is not where it was: a file, a folder or a run.
    """
    return Run(folder, surgery=surgery, network=network, base=base)


def finetune(
    backbone: str | Backbone,
    data: DataSource = None,
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

    Ctrl-C (or SIGTERM) finishes the step, saves a checkpoint, and raises
    :class:`zoo.errors.Stopped`; :func:`resume` continues from there.

    Args:
        backbone: As in ``zoo list``; or your own network, from :func:`wrap` or as
            ``"my_file.py:build_net"``.
        data: A folder, a table, or ``hf:<name>``; a list of ``(input, label)``, a pandas DataFrame,
            a ``datasets.Dataset`` or ``DatasetDict``, a map-style torch ``Dataset``, or a mapping
            from split names to any of these; the demo data by default.
        recipe: Options as a mapping; keywords take precedence.
        surgery: Function that changes the backbone before training, and whenever the run is opened.
        output: The run folder; ``runs/<name>-<number>`` by default.
        save_every: Seconds between checkpoints.
        track: Experiment tracker of Accelerate: ``tensorboard``, ``wandb``, ``mlflow``, …
        report: Whether to write ``report.html``; :meth:`Run.report` can write it later.
        registry: The installed plugins by default.
        reporter: Gets the progress; standard error by default.
        options: Options of ``zoo finetune``, named as in :class:`FinetuneOptions`.

    Raises:
        UsageError: An option is unknown, not valid, or has no effect.
        ZooError: Any other error that the user can fix; if raised before training starts, nothing
            is left on disk.
    """
    from zoo.training.finetune import run

    name, network = named_network(backbone)
    request = Request.from_options(
        name, data, {**(recipe or {}), **options}, surgery=name_of(surgery)
    )
    run_options = _run_options(
        registry, reporter, surgery, save_every, track, report, data=data, network=network
    )
    return run(request, Path(output) if output else None, run_options)


def distill(
    teacher: Run | str | Path,
    student: str | Backbone,
    data: DataSource,
    *,
    temperature: float | None = None,
    recipe: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    save_every: float = SAVE_SECONDS,
    track: str | None = None,
    report: bool = True,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
    **options: Unpack[FinetuneOptions],
) -> Run:
    """Train a student on the outputs of a teacher, and write a run folder; no labels are needed.

    Args:
        teacher: A run, such as an ensemble; the student gets its classes.
        student: The backbone to train, as for :func:`finetune`.
        data: A folder of files or a table, or inputs in memory, as for :meth:`Run.predict`. If it has
            labels that the teacher knows, validation measures the student against them, else
            against the teacher.
        temperature: Divides the logits of both in the loss; 2 by default, 1 for regression.
        recipe: Options as a mapping; keywords take precedence.
        output: The run folder; ``runs/<name>-<number>`` by default.
        save_every: Seconds between checkpoints.
        track: As for :func:`finetune`.
        report: As for :func:`finetune`.
        registry: The installed plugins by default.
        reporter: Gets the progress; standard error by default.
        options: As for :func:`finetune`; not those that need labels.

    Raises:
        UsageError: An option is unknown, not valid, or needs labels.
        ZooError: As for :func:`finetune`.
    """
    from zoo.training.finetune import run
    from zoo.training.teaching import distillation

    name, network = named_network(student)
    registry = registry or Registry.discover()
    opened = teacher if isinstance(teacher, Run) else Run(teacher, registry=registry)
    request = distillation(name, data, opened, temperature, {**(recipe or {}), **options})
    run_options = _run_options(
        registry, reporter, None, save_every, track, report, data=data, network=network
    )
    return run(request, Path(output) if output else None, run_options)


def find_lr(
    backbone: str | Backbone,
    data: DataSource = None,
    *,
    recipe: Mapping[str, Any] | None = None,
    surgery: Surgery | None = None,
    output: str | Path | None = None,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
    **options: Unpack[FinetuneOptions],
) -> tuple[Path, Curve]:
    """Run a learning-rate range test: the rate rises from step to step while the loss is recorded.

    Args:
        backbone: As for :func:`finetune`.
        data: As for :func:`finetune`.
        recipe: Options as a mapping.
        surgery: Function that changes the backbone before training.
        output: Folder of the curve.
        registry: The installed plugins by default.
        reporter: Gets the progress; standard error by default.
        options: As for :func:`finetune`.

    Returns:
        The folder of the curve, and the curve, whose ``suggestion`` is a value for ``lr``.

    Raises:
        ZooError: Any error that the user can fix.
    """
    from zoo.training.finetune import find_rate

    name, network = named_network(backbone)
    request = Request.from_options(
        name, data, {**(recipe or {}), **options}, surgery=name_of(surgery)
    )
    run_options = _run_options(registry, reporter, surgery, data=data, network=network)
    return find_rate(request, Path(output) if output else None, run_options)


def _run_options(
    registry: Registry | None,
    reporter: Reporter | None,
    surgery: Surgery | None,
    save_every: float = SAVE_SECONDS,
    track: str | None = None,
    report: bool = True,
    data: DataSource = None,
    network: OwnNetwork | None = None,
) -> RunOptions:
    from zoo.training.run_options import RunOptions

    return RunOptions(
        registry=registry or Registry.discover(),
        reporter=reporter or Console(in_python),
        surgery=surgery,
        network=network,
        save_every=save_every,
        track=track,
        report=report,
        data=None if is_path(data) else data,
    )


def resume(
    folder: str | Path,
    *,
    data: DataSource = None,
    surgery: Surgery | None = None,
    network: NetworkLike | None = None,
    save_every: float = SAVE_SECONDS,
    track: str | None = None,
    report: bool = True,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
) -> Run:
    """Resume a run that was stopped or killed; on a CPU the result is identical to an uninterrupted run.

    For a run that was killed after it had finished, remove leftover files.

    Args:
        folder: The run folder.
        data: The same data again, for a run on data in memory.
        surgery: As for :func:`finetune`.
        network: As for :func:`open_run`.
        save_every: Seconds between checkpoints.
        track: As for :func:`finetune`; by default as before, ``none`` to stop tracking.
        report: As for :func:`finetune`.
        registry: The installed plugins by default.
        reporter: Gets the progress; standard error by default.

    Raises:
        RunError: The run is finished, or its data has changed.
    """
    from zoo.training.resume import resume as go_on

    options = _run_options(registry, reporter, surgery, save_every, track, report, data=data)
    return go_on(Path(folder), options, None if data is None else source_name(data), network)


def rerun(
    run: Run | str | Path,
    *,
    data: DataSource = None,
    output: str | Path | None = None,
    surgery: Surgery | None = None,
    network: NetworkLike | None = None,
    save_every: float = SAVE_SECONDS,
    track: str | None = None,
    report: bool = True,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
) -> Repeat:
    """Repeat a run from its ``run.json``, and compare the two.

    Args:
        run: A finished run, or its folder.
        data: Where the data is now, if it has moved; the same data again, for a run on data in
            memory.
        output: The new run folder; ``runs/<name>-<number>`` by default.
        surgery: As for :func:`finetune`; by default that of ``run``.
        network: As for :func:`open_run`; by default that of ``run``.
        save_every: Seconds between checkpoints.
        track: As for :func:`finetune`.
        report: As for :func:`finetune`.
        registry: The installed plugins by default.
        reporter: Gets the progress; standard error by default.

    Returns:
        ``first`` and ``second``, the runs; whether their weights are ``identical``; and the
        ``differences`` between their weights, versions and machines.

    Raises:
        RunError: The run does not record what it was started with, or its data has changed.
        ZooError: As for :func:`finetune`.
    """
    from zoo.training.rerun import rerun as repeat

    registry = registry or Registry.discover()
    if not isinstance(run, Run):
        run = Run(run, surgery=surgery, network=network, registry=registry)
    elif surgery is not None or network is not None:
        run = Run(run.folder, surgery=surgery or run.surgery, network=network, registry=registry)
    options = _run_options(registry, reporter, run.surgery, save_every, track, report, data=data)
    named = None if data is None else source_name(data)
    return repeat(run, Path(output) if output else None, options, data=named)
