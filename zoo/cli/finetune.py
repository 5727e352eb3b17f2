"""``zoo finetune``: adapt a backbone to pictures or texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from zoo.cli import completion
from zoo.cli.columns import one_or_more
from zoo.cli.output import clean, emit_json, say
from zoo.cli.sections import SectionedCommand, section
from zoo.errors import UsageError
from zoo.tasks import CHOICES


class _BatchSize(click.ParamType[Any]):
    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if value == "auto" else click.INT.convert(value, param, ctx)


_common = section("Common options")
_what = section("Model")
_how = section("Optimisation")
_against = section("Regularisation")
_rare = section("Class imbalance")
_data = section("Data")
_where = section("Run and hardware")


@click.command(
    cls=SectionedCommand,
    epilog="""\b
Examples:
  zoo finetune resnet18 --classes 5
  zoo finetune resnet18 --data photos/
  zoo finetune vgg16 --data photos/ --strategy probe
  zoo finetune resnet50 --data photos/ --strategy full --freeze-until layer2
  zoo finetune bert-base-uncased --data reviews.csv --strategy lora
  zoo finetune lstm --data reviews.tsv --text-column review --label-column stars
  zoo finetune resnet18 --data houses.csv --task regression --label-column price
  zoo finetune --resume runs/resnet18-1
""",
)
@click.argument("backbone", required=False, shell_complete=completion.names)
@_common(
    "--data",
    metavar="PATH",
    shell_complete=completion.paths,
    help="Folder, table, or hf:NAME (default: demo data).",
)
@_common(
    "--strategy",
    shell_complete=completion.strategies,
    metavar="NAME",
    help="probe (linear probe), full, two-stage (probe, then full), gradual (unfreeze stage by stage), lora, bias, norm, or a plugin's.",
)
@_common("--epochs", type=int, metavar="N", help="Number of epochs of the last phase.")
@_common("--lr", type=float, metavar="RATE", help="Learning rate of the last phase.")
@_common(
    "--batch-size",
    type=_BatchSize(),
    metavar="N|auto",
    help="Samples per step (default: 32); auto: accumulate if memory runs out.",
)
@_common(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Run folder (default: runs/NAME-N).",
)
@_data(
    "--classes",
    type=int,
    metavar="N",
    help="Number of classes the data must have; for the demo data, how many to use.",
)
@_data(
    "--task",
    default="auto",
    type=click.Choice(CHOICES),
    help="Task (default: single- or multi-label, as the labels are).",
)
@_data(
    "--text-column",
    multiple=True,
    callback=one_or_more,
    metavar="NAME",
    help="Input column: texts or image paths; twice for text pairs.",
)
@_data(
    "--label-column",
    multiple=True,
    callback=one_or_more,
    metavar="NAME",
    help="Label column; repeat for several targets, or one 0/1 column per label.",
)
@_data(
    "--val-split",
    default=0.2,
    metavar="SHARE",
    help="Fraction held out for validation if the data has no split (default: 0.2).",
)
@_data(
    "--bad-files",
    default="error",
    type=click.Choice(["error", "skip"]),
    help="What to do with unreadable files and rows (default: error).",
)
@_data(
    "--quoting",
    type=click.Choice(["auto", "double", "backslash", "none"]),
    help="Quoting in CSV and TSV tables (default: detected).",
)
@_data(
    "--dedupe", is_flag=True, help="Drop training samples that also occur in validation or test."
)
@_data("--image-size", type=int, metavar="PIXELS", help="Height and width of the images.")
@_data(
    "--resize",
    type=click.Choice(["crop", "pad", "squash"]),
    help="How images are made square (default: as the weights were trained).",
)
@_data(
    "--range",
    "value_range",
    nargs=2,
    type=float,
    metavar="LOW HIGH",
    help="Black and white level of images deeper than 8 bits (default: from the training images).",
)
@_data(
    "--max-length",
    type=int,
    metavar="TOKENS",
    help="Maximum tokens per text; longer texts are truncated.",
)
@_data(
    "--pooling",
    type=click.Choice(["cls", "mean", "last", "pooler"]),
    help="How token vectors are pooled into one text vector.",
)
@_what(
    "--weights",
    default="auto",
    metavar="auto|none|TAG|PATH",
    shell_complete=completion.tags,
    help="Pretrained weights to start from; none trains from scratch.",
)
@_what(
    "--head",
    default="linear",
    metavar="NAME",
    shell_complete=completion.heads,
    help="linear, mlp, or a plugin's.",
)
@_what(
    "--freeze-until",
    metavar="STAGE",
    shell_complete=completion.stages,
    help="Freeze all stages up to and including this one.",
)
@_what(
    "--freeze",
    multiple=True,
    metavar="LAYER",
    shell_complete=completion.layers,
    help="Freeze this layer; may be repeated.",
)
@_what(
    "--unfreeze",
    multiple=True,
    metavar="LAYER",
    shell_complete=completion.layers,
    help="Train this layer even where others are frozen; may be repeated.",
)
@_what("--lora-rank", type=int, metavar="R", help="Rank of the LoRA matrices (default: 8).")
@_what("--lora-alpha", type=int, metavar="A", help="LoRA scale is A / R (default: 16).")
@_what("--lora-dropout", type=float, metavar="P", help="Dropout on LoRA inputs (default: 0).")
@_what(
    "--surgery",
    metavar="MODULE:FUNCTION",
    help="Function that modifies the backbone before training.",
)
@_how("--find-lr", is_flag=True, help="Run a learning-rate range test, print the result, and stop.")
@_how(
    "--layer-decay", type=float, metavar="FACTOR", help="Layer-wise learning-rate decay, per stage."
)
@_how(
    "--accumulate",
    type=int,
    metavar="N",
    help="Gradient accumulation: split each batch into N parts.",
)
@_how(
    "--schedule",
    shell_complete=completion.schedules,
    metavar="NAME",
    help="Learning-rate schedule: cosine (default), linear, constant, one-cycle.",
)
@_how(
    "--warmup",
    type=float,
    metavar="SHARE",
    help="Fraction of steps for learning-rate warm-up (default: 0.1).",
)
@_how("--clip", type=float, metavar="NORM", help="Maximum gradient norm (default: 1).")
@_how(
    "--head-solver",
    metavar="adamw|lbfgs",
    shell_complete=completion.one_of("adamw", "lbfgs"),
    help="Solver for head-only training: lbfgs (to convergence) or adamw.",
)
@_how(
    "--cached-views",
    type=int,
    metavar="K",
    help="Number of augmented views per image to cache frozen features for.",
)
@_how(
    "--patience",
    type=int,
    metavar="N",
    help="Early stopping: end a phase after N epochs without improvement.",
)
@_how(
    "--metric",
    metavar="NAME",
    shell_complete=completion.metrics,
    help="Metric that selects the best epoch: accuracy, balanced_accuracy, macro_f1, map, loss, rmse, …",
)
@_against("--weight-decay", type=float, metavar="RATE", help="AdamW weight decay.")
@_against("--dropout", type=float, metavar="P", help="Dropout on the features, before the head.")
@_against("--label-smoothing", type=float, metavar="P", help="Probability spread over all classes.")
@_against(
    "--augment",
    metavar="none|trivial",
    shell_complete=completion.one_of("none", "trivial"),
    help="Augmentation beyond crops and flips: TrivialAugment or none.",
)
@_against("--mixup", type=float, metavar="ALPHA", help="MixUp strength; 0 is off.")
@_against("--cutmix", type=float, metavar="ALPHA", help="CutMix strength; 0 is off.")
@_against(
    "--l2sp",
    type=float,
    metavar="ALPHA",
    help="L2-SP: penalty on the distance from the pretrained weights.",
)
@_against(
    "--ema",
    type=float,
    metavar="DECAY",
    help="Decay of the exponential moving average of the weights, e.g. 0.99.",
)
@_rare("--class-weights", is_flag=True, help="Weight the loss by inverse class frequency.")
@_rare("--balanced", is_flag=True, help="Sample each class equally often.")
@_rare("--focal", type=float, metavar="GAMMA", help="Gamma of the focal loss, e.g. 2.")
@_where(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    shell_complete=completion.unfinished_runs,
    help="Resume an interrupted run.",
)
@_where(
    "--save-every",
    type=float,
    metavar="SECONDS",
    help="Seconds between checkpoints (default: 120).",
)
@_where("--seed", default=0, metavar="N", help="Random seed (default: 0).")
@_where(
    "--precision",
    default="auto",
    type=click.Choice(["auto", "fp32", "bf16"]),
    help="Numerical precision (default: auto, bf16 where it is fast).",
)
@_where(
    "--compile",
    default="off",
    type=click.Choice(["on", "off"]),
    help="Compile the network with torch.compile (default: off).",
)
@_where(
    "--device", default="auto", metavar="NAME", help="Device: auto (default), cpu, cuda, cuda:1, …"
)
@_where("--workers", type=int, metavar="N", help="Number of data-loading processes.")
@_where(
    "--cache-images/--no-cache-images",
    default=None,
    help="Cache decoded images (default: where it pays off).",
)
@_where("--track", metavar="NAME", help="Experiment tracker: tensorboard, mlflow, wandb, …")
@_where(
    "--report/--no-report", default=True, help="Write report.html to the run folder (default: yes)."
)
@_where("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(ctx: click.Context, /, backbone: str | None, as_json: bool, **options: Any) -> None:
    """Fine-tune a backbone on your images or texts.

    With pretrained weights, trains the head first on cached features, then the whole network
    (two-stage); from scratch, trains the whole network (full). Writes a run folder. Without
    --data, uses a small demo dataset.

    Ctrl-C stops after the current step and saves a checkpoint; press it again to quit at once.
    """
    import zoo
    from zoo.engine.surgery import find_surgery

    resumed, find_lr = options.pop("resume"), options.pop("find_lr")
    surgery = find_surgery(options.pop("surgery")) if options["surgery"] else None
    options = {key: value for key, value in options.items() if value is not None}
    options.pop("surgery", None)
    if resumed:
        _refuse_others(ctx, backbone)
        kept = {key: options[key] for key in ("save_every", "track", "report") if key in options}
        run = zoo.resume(resumed, surgery=surgery, **kept)
    elif backbone is None:
        raise UsageError(
            "no backbone given",
            hint="zoo finetune BACKBONE --data PATH; 'zoo list' shows the backbones.",
        )
    elif find_lr:
        _tell_rate(zoo.find_lr(backbone, surgery=surgery, **options), as_json)
        return
    else:
        run = zoo.finetune(backbone, surgery=surgery, **options)
    if _leads():
        _tell(run, as_json)


def _refuse_others(ctx: click.Context, backbone: str | None) -> None:
    """A run goes on as it began: nothing about it can be changed."""
    allowed = {"resume", "save_every", "track", "report", "as_json", "surgery"}
    given = [
        f"--{name.replace('_', '-')}"
        for name in ctx.params
        if name not in allowed
        and name != "backbone"
        and ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if backbone:
        given.insert(0, backbone)
    if given:
        raise UsageError(
            f"--resume goes on as the run began, and takes no {', '.join(given)}",
            hint="Leave that out, or start a new run.",
        )


def _leads() -> bool:
    """Of several processes that train together, the first alone prints."""
    import os

    return os.environ.get("RANK", "0") == "0"


def _tell_rate(found: Any, as_json: bool) -> None:
    folder, curve = found
    if as_json:
        emit_json({"folder": str(folder), "lr": curve.suggestion})
        return
    say(f"the loss falls fastest at a learning rate of {curve.suggestion:.1e}")
    say(f"the curve: {folder / 'rates.png'}")
    say(f"next: the same command with --lr {curve.suggestion:.1e} instead of --find-lr")


def _tell_left_out(data: Mapping[str, Any]) -> None:
    """What of the data the run has not seen, so that it is known before anybody relies on it."""
    if count := len(data["skipped"]):
        inputs = "1 unreadable input was" if count == 1 else f"{count} unreadable inputs were"
        say(f"{inputs} left out; run.json lists them")
    if count := data.get("passed_over", 0):
        say(f"{'1 file' if count == 1 else f'{count} files'} not called like pictures passed over")
    for fact in data.get("notes", ()):
        say(clean(fact))
    if words := data.get("overlap", ""):
        say(words)


def _tell(run: Any, as_json: bool) -> None:
    from zoo.runs.report.page import REPORT

    results, page = run.record["results"], run.folder / REPORT
    if as_json:
        weights = run.record["weights"]
        emit_json(
            {
                "run": str(run.folder),
                "report": str(page) if page.is_file() else None,
                "backbone": run.backbone_name,
                "weights": weights["tag"] if weights else "none",
                "task": run.task.name,
                "classes": list(run.classes),
                "strategy": run.record["strategy"],
                "best_epoch": results["best_epoch"],
                "metric": run.task.metric,
                "metrics": run.metrics,
                "samples_per_second": results["samples_per_second"],
                "seconds": results["seconds"],
                "skipped": run.record["data"]["skipped"],
                "passed_over": run.record["data"].get("passed_over", 0),
                "notes": run.record["data"].get("notes", []),
                "columns": run.record["data"].get("columns"),
                "quoting": run.record["data"].get("quoting", "auto"),
                "shared": run.record["data"].get("shared", []),
                "near": run.record["data"].get("near", []),
                "removed": run.record["data"].get("removed", 0),
            }
        )
        return
    from zoo.tasks.metrics import in_words

    strength = results.get("best_strength")
    best = f"epoch {results['best_epoch']}" if strength is None else f"strength {strength:g}"
    say(
        f"best {best}: {in_words(run.metrics)} "
        f"({results['seconds']:.0f} s, {results['samples_per_second']:.0f} samples/s)"
    )
    _tell_left_out(run.record["data"])
    say(f"run: {run.folder}")
    if page.is_file():
        say(f"report: {page}")
    say(f"next: {run.next_command()}")
