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
from zoo.contract.metric_names import in_words
from zoo.errors import UsageError


class _BatchSize(click.ParamType[Any]):
    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if value == "auto" else click.INT.convert(value, param, ctx)


_what = section("What trains")
_how = section("How long and how fast")
_against = section("Against overfitting")
_rare = section("Where classes are rare")
_data = section("Data")
_where = section("Where and how")


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
@_data(
    "--data",
    metavar="PATH",
    shell_complete=completion.paths,
    help="Folder, table, or hf:NAME; default: demo data.",
)
@_data("--classes", type=int, metavar="N", help="How many classes the data must have.")
@_data(
    "--task",
    default="auto",
    type=click.Choice(["auto", "single-label", "multi-label", "regression"]),
    help="One class a sample, several, or numbers; default: one or several, as the labels are.",
)
@_data(
    "--text-column",
    multiple=True,
    callback=one_or_more,
    metavar="NAME",
    help="Column of texts, or of pictures' paths; twice for pairs of texts.",
)
@_data(
    "--label-column",
    multiple=True,
    callback=one_or_more,
    metavar="NAME",
    help="Column of labels; repeat for numbers or for a 0/1 column a label.",
)
@_data("--val-split", default=0.2, metavar="SHARE", help="Held out without a split; default: 0.2.")
@_data(
    "--bad-files",
    default="error",
    type=click.Choice(["error", "skip"]),
    help="What to do about files and rows that cannot be read; default: error.",
)
@_data(
    "--quoting",
    type=click.Choice(["auto", "double", "backslash", "none"]),
    help="How CSV and TSV tables quote texts; default: found out.",
)
@_data("--dedupe", is_flag=True, help="Train without what validation or test has too.")
@_data("--image-size", type=int, metavar="PIXELS", help="Height and width of pictures.")
@_data(
    "--resize",
    type=click.Choice(["crop", "pad", "squash"]),
    help="How images become square; default: as the weights were trained.",
)
@_data(
    "--range",
    "value_range",
    nargs=2,
    type=float,
    metavar="LOW HIGH",
    help="Black and white in images deeper than 8 bits; default: found from the training images.",
)
@_data("--max-length", type=int, metavar="TOKENS", help="Where texts are cut.")
@_data(
    "--pooling",
    type=click.Choice(["cls", "mean", "last", "pooler"]),
    help="How one vector is made of a text.",
)
@_what(
    "--strategy",
    shell_complete=completion.strategies,
    metavar="NAME",
    help="probe, full, two-stage, gradual, lora, bias, norm, or a plugin's.",
)
@_what(
    "--weights",
    default="auto",
    metavar="auto|none|TAG|PATH",
    shell_complete=completion.tags,
    help="What to start from.",
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
    help="The last stage that never trains.",
)
@_what(
    "--freeze",
    multiple=True,
    metavar="LAYER",
    shell_complete=completion.layers,
    help="Never trains; may be repeated.",
)
@_what(
    "--thaw",
    multiple=True,
    metavar="LAYER",
    shell_complete=completion.layers,
    help="Trains whatever else is frozen.",
)
@_what("--lora-rank", type=int, metavar="R", help="Rank of LoRA's matrices; default: 8.")
@_what("--lora-alpha", type=int, metavar="A", help="Their scale is A / R; default: 16.")
@_what("--lora-dropout", type=float, metavar="P", help="Dropout of their inputs; default: 0.")
@_what("--surgery", metavar="MODULE:FUNCTION", help="Changes the backbone before it trains.")
@_how("--epochs", type=int, metavar="N", help="Passes of the strategy's last phase.")
@_how("--lr", type=float, metavar="RATE", help="Learning rate of the last phase.")
@_how("--find-lr", is_flag=True, help="Measure which rate suits, say it, and stop.")
@_how("--layer-decay", type=float, metavar="FACTOR", help="On the rate from stage to stage.")
@_how("--batch-size", type=_BatchSize(), metavar="N|auto", help="Samples a step; default: 32.")
@_how("--accumulate", type=int, metavar="N", help="Compute a step in N parts.")
@_how(
    "--schedule",
    shell_complete=completion.schedules,
    metavar="NAME",
    help="cosine (default), linear, constant, one-cycle.",
)
@_how("--warmup", type=float, metavar="SHARE", help="In which the rate rises; default: 0.1.")
@_how("--clip", type=float, metavar="NORM", help="Largest norm of gradients; default: 1.")
@_how(
    "--head-solver",
    metavar="adamw|lbfgs",
    shell_complete=completion.one_of("adamw", "lbfgs"),
    help="How a head that trains alone is found.",
)
@_how(
    "--cached-views", type=int, metavar="K", help="Variations that what is frozen computes, once."
)
@_how("--patience", type=int, metavar="N", help="End a phase after N epochs without a better.")
@_how(
    "--metric",
    metavar="NAME",
    shell_complete=completion.metrics,
    help="Chooses the best epoch: accuracy, balanced_accuracy, macro_f1, map, loss, rmse, …",
)
@_against("--weight-decay", type=float, metavar="RATE", help="AdamW's decoupled decay.")
@_against("--dropout", type=float, metavar="P", help="Of the features, before the head.")
@_against("--label-smoothing", type=float, metavar="P", help="Spread over all classes.")
@_against(
    "--augment",
    metavar="none|trivial",
    shell_complete=completion.one_of("none", "trivial"),
    help="TrivialAugment beside crops and mirroring.",
)
@_against("--mixup", type=float, metavar="ALPHA", help="Mix pairs of pictures.")
@_against("--cutmix", type=float, metavar="ALPHA", help="Paste parts of pictures into others.")
@_against("--l2sp", type=float, metavar="ALPHA", help="Pull to the weights at the start.")
@_against("--ema", type=float, metavar="DECAY", help="Average the weights, e.g. 0.99.")
@_rare("--class-weights", is_flag=True, help="Rare classes weigh more in the loss.")
@_rare("--balanced", is_flag=True, help="Each class is drawn equally often.")
@_rare("--focal", type=float, metavar="GAMMA", help="Focal loss, e.g. 2.")
@_where("--output", type=click.Path(path_type=Path), metavar="DIR", help="The run folder.")
@_where(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    shell_complete=completion.unfinished_runs,
    help="Go on with this run.",
)
@_where("--save-every", type=float, metavar="SECONDS", help="For --resume; default: 120.")
@_where("--seed", default=0, metavar="N", help="Of everything random; default: 0.")
@_where(
    "--precision",
    default="auto",
    type=click.Choice(["auto", "fp32", "bf16"]),
    help="bf16 where the device is fast at it; default: auto.",
)
@_where(
    "--compile",
    default="auto",
    type=click.Choice(["auto", "on", "off"]),
    help="Compile the network; default: where a trial says that it repays.",
)
@_where("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, …")
@_where("--workers", type=int, metavar="N", help="Processes that prepare pictures.")
@_where(
    "--cache-images/--no-cache-images",
    default=None,
    help="Decode each picture once; default: where it pays.",
)
@_where("--track", metavar="NAME", help="tensorboard, mlflow, wandb, …; resumed runs keep it.")
@_where("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(ctx: click.Context, /, backbone: str | None, as_json: bool, **options: Any) -> None:
    """Fine-tune BACKBONE on pictures or texts and write a run folder.

    With pretrained weights the head is fitted first, on features that are computed once, and
    then everything trains from there (two-stage); from random parameters everything trains at
    once (full). Without --data it runs on a small set of demo data.

    Ctrl-C finishes the step, saves, and says how to go on; a second one leaves at once.
    """
    import zoo
    from zoo.engine.surgery import find_surgery

    resumed, find_lr = options.pop("resume"), options.pop("find_lr")
    surgery = find_surgery(options.pop("surgery")) if options["surgery"] else None
    options = {key: value for key, value in options.items() if value is not None}
    options.pop("surgery", None)
    if resumed:
        _refuse_others(ctx, backbone)
        kept = {key: options[key] for key in ("save_every", "track") if key in options}
        run = zoo.resume(resumed, surgery=surgery, **kept)
    elif backbone is None:
        raise UsageError(
            "no backbone was named", hint="zoo finetune BACKBONE; 'zoo list' has them."
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
    allowed = {"resume", "save_every", "track", "as_json", "surgery"}
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
