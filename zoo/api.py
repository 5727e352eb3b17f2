"""The zoo in Python: list, load, fine-tune, open a run."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from zoo.contract.backbone import Backbone
from zoo.contract.spec import Pooling
from zoo.data.cells import Wish
from zoo.data.columns import ColumnNames
from zoo.data.dialects import Quoting
from zoo.data.reports import BadFiles
from zoo.engine.checkpoint import SAVE_SECONDS
from zoo.engine.find_lr import Curve
from zoo.engine.heads import make_head
from zoo.engine.progress import Console, Reporter
from zoo.engine.recipe import Recipe, Solver
from zoo.engine.surgery import Surgery, name_of
from zoo.errors import UsageError, WeightsError
from zoo.modalities.image.transforms import Augment
from zoo.registry.registry import Registry
from zoo.registry.run_record import FinishedRun
from zoo.runs.request import Request, Resize
from zoo.runs.run import Run
from zoo.training.finetune import find_rate, run
from zoo.training.manner import Manner
from zoo.training.resume import resume as go_on
from zoo.training.start import for_weights, tokenizer_beside, wish
from zoo.weights.build import build, refuse_larger
from zoo.weights.load import choose, fetch


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
    chosen = choose(resolved.spec, wish(resolved, weights))
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
        warnings.warn(f"{resolved.spec.name}: {note}", stacklevel=2)
    return backbone


def _of_run(run: FinishedRun, registry: Registry, *, with_head: bool) -> Backbone:
    """What a published run has learnt, with its tokenizer, and with its head where that is wanted."""
    path = fetch(run.weights)
    if with_head:
        backbone = Run(run.folder, registry=registry).load().train()
    else:
        refuse_larger(run.spec, path)
        backbone = build(run.spec, run.weights)
    if run.spec.input.tokens and backbone.tokenizer is None:
        backbone.tokenizer = tokenizer_beside(path)
    return backbone


def open_run(folder: str | Path, *, surgery: Surgery | None = None) -> Run:
    """The run that ``zoo finetune`` wrote to ``folder``.

    Args:
        folder: A run folder.
        surgery: The function that changed the backbone before it trained, if one did.
    """
    return Run(folder, surgery=surgery)


def finetune(
    backbone: str,
    data: str | Path | None = None,
    *,
    classes: int | None = None,
    strategy: str | None = None,
    head: str = "linear",
    weights: str = "auto",
    freeze_until: str | None = None,
    freeze: Sequence[str] = (),
    unfreeze: Sequence[str] = (),
    lora_rank: int | None = None,
    lora_alpha: int | None = None,
    lora_dropout: float | None = None,
    surgery: Surgery | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    layer_decay: float | None = None,
    head_solver: Solver | None = None,
    cached_views: int | None = None,
    batch_size: int | Literal["auto"] | None = None,
    accumulate: int | None = None,
    schedule: str | None = None,
    warmup: float | None = None,
    clip: float | None = None,
    patience: int | None = None,
    weight_decay: float | None = None,
    dropout: float | None = None,
    label_smoothing: float | None = None,
    mixup: float | None = None,
    cutmix: float | None = None,
    augment: Augment | None = None,
    l2sp: float | None = None,
    ema: float | None = None,
    class_weights: bool = False,
    balanced: bool = False,
    focal: float | None = None,
    image_size: int | None = None,
    resize: Resize | None = None,
    value_range: tuple[float, float] | None = None,
    max_length: int | None = None,
    pooling: Pooling | None = None,
    text_column: ColumnNames = None,
    label_column: ColumnNames = None,
    task: Wish = "auto",
    val_split: float = 0.2,
    bad_files: BadFiles = "error",
    quoting: Quoting | None = None,
    dedupe: bool = False,
    metric: str | None = None,
    seed: int = 0,
    output: str | Path | None = None,
    precision: str = "auto",
    compile: str = "off",  # noqa: A002 - the field's word
    device: str = "auto",
    workers: int | None = None,
    cache_images: bool | None = None,
    save_every: float = SAVE_SECONDS,
    track: str | None = None,
    report: bool = True,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
) -> Run:
    """Fine-tune a backbone and write a run folder; the options are those of ``zoo finetune``.

    Ctrl-C (or SIGTERM) finishes the step, saves the state, and raises :class:`zoo.errors.Stopped`;
    :func:`resume` goes on from there.

    Args:
        backbone: As in ``zoo list``.
        data: A folder, a table, ``hf:<name>``; without it the demo data.
        classes: How many classes the data must have; of the demo data, how many to take.
        strategy: ``probe``, ``full``, ``two-stage``, ``gradual``, ``lora``, ``bias``, ``norm``, or
            a plugin's.
        head: Kind of the head.
        weights: ``auto``, ``none``, a tag, or a path.
        freeze_until: The last stage that never trains.
        freeze: Stages or layers that never train.
        unfreeze: Stages or layers that train wherever the backbone does, whatever else is frozen.
        lora_rank: Rank of the matrices of the strategy ``lora``.
        lora_alpha: Their scale, as a multiple of ``1 / lora_rank``.
        lora_dropout: Share of their inputs that are dropped.
        surgery: Changes the backbone before it trains, and again whenever the run is opened.
        epochs: Passes of the strategy's last phase.
        lr: Learning rate of the strategy's last phase.
        layer_decay: Factor on it from each stage to the one before.
        head_solver: ``lbfgs``: a head that trains alone is solved for to convergence; or
            ``adamw``, the default for large data and for options that are about steps.
        cached_views: How many variations of each training picture (crops, mirror images and what
            ``augment`` adds) a head that trains alone sees, by default the picture as it is; and
            frozen first stages, by default as many as there are epochs, computed in each step.
        batch_size: Samples a step, over all processes; ``auto`` computes a step in parts where it
            does not fit into memory.
        accumulate: Parts that a step is computed in.
        schedule: ``cosine``, ``linear``, ``constant`` or ``one-cycle``.
        warmup: Share of the steps in which the rate rises.
        clip: Norm that gradients are scaled down to.
        patience: Epochs without a better one after which a phase ends.
        weight_decay: AdamW's decoupled decay.
        dropout: Share of the features that are dropped before the head.
        label_smoothing: Share of a label's weight that is spread over all classes.
        mixup: Alpha of MixUp.
        cutmix: Alpha of CutMix.
        augment: ``none``, or ``trivial`` for TrivialAugment.
        l2sp: Strength of the pull to the weights that training starts from.
        ema: Decay of the averaged weights that are validated and kept, e.g. 0.99.
        class_weights: Whether rare classes weigh more.
        balanced: Whether each class is drawn equally often.
        focal: Gamma of the focal loss.
        image_size: Height and width in pixels.
        resize: How an image becomes square: ``crop`` takes the centre, ``pad`` all of it with a
            border, ``squash`` all of it whatever its proportions. By default as the weights were
            trained, mostly ``crop``.
        value_range: The values of black and of white in images with more than 8 bits a pixel. By
            default found from the training images.
        max_length: Tokens a text is cut to.
        pooling: ``cls``, ``mean``, ``last`` or ``pooler``, for texts.
        text_column: Column of a table that holds the texts, or the paths of pictures; two for
            pairs of texts.
        label_column: Column of a table that holds the labels; several of numbers,
            or of zeros and ones for a label each.
        task: ``single-label``, ``multi-label``, ``regression``; ``auto`` takes one of the first two
            as the labels are.
        val_split: Share held out where the data has no validation split.
        dedupe: Whether training leaves out what validation or test has too: the same file, a
            picture that looks the same, or the same text but for case, blanks and Unicode form.
        bad_files: ``error``, or ``skip`` for leaving them out.
        quoting: How CSV and TSV files mark texts that contain their delimiter: ``double``, ``backslash``
            or ``none``; by default found out.
        metric: Chooses the best epoch and ends training early: ``accuracy``, ``balanced_accuracy``,
            ``macro_f1``, ``micro_f1``, ``map``, ``loss``, ``rmse``, ``mae`` or ``r2``, as the task
            has them. By default ``accuracy``, or ``balanced_accuracy`` where rare classes are to
            count (``class_weights``, ``balanced``, ``focal``); with several labels ``map``, with
            numbers ``loss``.
        seed: Of everything random.
        output: The run folder; ``runs/<name>-<number>`` by default.
        precision: ``auto``, ``fp32``, ``bf16``.
        compile: ``on`` or ``off``: whether training steps and the features of a frozen network run
            through ``torch.compile``.
        device: ``auto``, ``cpu``, ``cuda``, …
        workers: Processes that prepare pictures.
        cache_images: Decode each picture once, into the cache, rather than in each epoch; nothing
            else changes. By default where that pays: more than one epoch, pictures of at most 128
            pixels or a GPU, and at most 1 GB a split.
        save_every: Seconds between two saves of the state that :func:`resume` needs.
        track: ``tensorboard``, ``wandb``, ``mlflow``, … of those that Accelerate knows.
        report: Whether the run gets its ``report.html``; :meth:`Run.report` writes it later too.
        registry: What is installed by default.
        reporter: Sees what happens; standard error by default.

    Raises:
        ZooError: Anything that the user can put right. Before training starts nothing has been
            written then.
    """
    return run(*_asked(locals()))


def find_lr(backbone: str, data: str | Path | None = None, **options: Any) -> tuple[Path, Curve]:
    """Measure which learning rate suits: it rises from step to step while the loss is watched.

    Args:
        backbone: As for :func:`finetune`.
        data: As for :func:`finetune`.
        options: Those of :func:`finetune`.

    Returns:
        The folder with the curve, and the curve; ``suggestion`` is what to give as ``lr``.

    Raises:
        ZooError: Anything that the user can put right.
    """
    try:
        bound = inspect.signature(finetune).bind(backbone, data, **options)
    except TypeError as error:
        raise UsageError(f"find_lr: {error}", hint="Its options are those of finetune.") from error
    bound.apply_defaults()
    return find_rate(*_asked(bound.arguments))


def _asked(arguments: Mapping[str, Any]) -> tuple[Request, Path | None, Manner]:
    """What the arguments of :func:`finetune` ask for, and how it is to be carried out."""
    given = dict(arguments)
    given["max_grad_norm"] = given.pop("clip")
    given["fit_memory"] = True if given["batch_size"] == "auto" else None
    given["batch_size"] = None if given["batch_size"] == "auto" else given["batch_size"]
    output, data, surgery = given["output"], given["data"], given.pop("surgery")
    wishes = {name: given[name] for name in _names(Recipe) if name in given}
    wishes = {
        name: tuple(wish) if isinstance(wish, (list, tuple)) else wish
        for name, wish in wishes.items()
        if wish is not None and wish is not False and wish != ()
    }
    asked = {name: given[name] for name in _names(Request) if name in given}
    request = Request(
        **asked | {"data": None if data is None else str(data)},
        surgery=name_of(surgery),
        wishes=wishes,
    )
    manner = Manner(
        registry=given["registry"] or Registry.discover(),
        reporter=given["reporter"] or Console(),
        surgery=surgery,
        save_every=given["save_every"],
        track=given["track"],
        report=given["report"],
    )
    return request, Path(output) if output else None, manner


def _names(kind: type[Recipe] | type[Request]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


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
    manner = Manner(
        registry=registry or Registry.discover(),
        reporter=reporter or Console(),
        surgery=surgery,
        save_every=save_every,
        track=track,
        report=report,
    )
    return go_on(Path(folder), manner)
