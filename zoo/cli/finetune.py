"""``zoo finetune``: fine-tune a backbone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import completion
from zoo.cli.hyperparameters import hyperparameters
from zoo.cli.output import emit_json, json_option, note, say
from zoo.cli.sections import SectionedCommand, section
from zoo.cli.tables import say_wrapped
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.runs.run import Run
    from zoo.training.run_options import RunOptions


_common_option = section("Common options")
_model_option = section("Model")
_optimisation_option = section("Optimisation")
_run_option = section("Run and hardware")


@click.command(
    cls=SectionedCommand,
    epilog="""\b
Examples:
  zoo finetune resnet18 --classes 5
  zoo finetune resnet18 photos/
  zoo finetune vgg16 photos/ --strategy probe
  zoo finetune resnet50 photos/ --strategy full --freeze-until layer2
  zoo finetune bert-base-uncased reviews.csv --strategy lora
  zoo finetune lstm reviews.tsv --label-column stars
  zoo finetune cnn houses.csv --task regression --label-column price
  zoo finetune my_file.py:build_net photos/
  zoo finetune --resume runs/resnet18-1
""",
)
@click.argument("backbone", required=False, shell_complete=completion.names)
@click.argument("path", metavar="[DATA]", required=False, shell_complete=completion.paths)
@_optimisation_option(
    "--find-lr", is_flag=True, help="Run a learning-rate range test, print the result, and stop."
)
@_run_option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    shell_complete=completion.unfinished_runs,
    help="Resume an interrupted run.",
)
@hyperparameters
@_common_option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Run folder (default: runs/NAME-N).",
)
@_model_option(
    "--surgery",
    metavar="MODULE:FUNCTION",
    help="Function that modifies the backbone before training.",
)
@_run_option(
    "--network",
    metavar="FILE.py:NAME",
    help="Function that builds the network of the run, for --resume.",
)
@_run_option(
    "--save-every",
    type=float,
    metavar="SECONDS",
    help="Seconds between checkpoints (default: 120).",
)
@_run_option("--track", metavar="NAME", help="Experiment tracker: tensorboard, mlflow, wandb, …")
@_run_option(
    "--report/--no-report",
    default=None,
    help="Write report.html to the run folder (default: yes).",
)
@_run_option(
    "--profile", is_flag=True, default=None, help="Print the seconds of each part at the end."
)
@json_option(option=_run_option)
@click.pass_context
def command(
    ctx: click.Context, /, backbone: str | None, path: str | None, as_json: bool, **options: Any
) -> None:
    """Fine-tune a backbone on your images, texts or recordings.

    With pretrained weights, trains the head first on cached features, then the whole network
    (two-stage); from scratch, trains the whole network (full). Writes a run folder. DATA may be
    given as --data too; without it, uses a small demo dataset.

    BACKBONE is a name from 'zoo list', or FILE.py:NAME, a function in your own file that returns the
    network.

    Ctrl-C stops after the current step and saves a checkpoint; press it again to quit at once.
    """
    options = {key: value for key, value in options.items() if value not in (None, ())}
    resumed, find_lr = options.pop("resume", None), options.pop("find_lr")
    if resumed:
        _refuse_others(ctx, backbone, path)
        run = _resumed(resumed, options)
    elif "network" in options:
        raise UsageError(
            "--network has no effect without --resume",
            hint="Name your own network as BACKBONE: zoo finetune my_file.py:build_net",
        )
    elif backbone is None:
        raise UsageError(
            "no backbone given",
            hint="zoo finetune BACKBONE DATA; 'zoo list' shows the backbones.",
        )
    else:
        if sys.stderr.isatty() and _is_first_process():
            note(f"loading {backbone} …")  # at once: importing torch takes seconds
        from zoo.engine.user_network.wrapping import named_network
        from zoo.runs.request import Request
        from zoo.training import finetune

        output, (run_options, surgery) = options.pop("output", None), _run_options(options, find_lr)
        name, network = named_network(backbone)
        data = _one_data(path, options.pop("data", None))
        request = Request.from_options(name, data, options, surgery=surgery)
        run_options = replace(run_options, network=network)
        if find_lr:
            _print_learning_rate(finetune.find_rate(request, output, run_options), as_json)
            return
        run = finetune.run(request, output, run_options)
    if _is_first_process():
        print_result(run, as_json)


def _one_data(path: str | None, option: str | None) -> str | None:
    """The data, given as an argument or as ``--data``."""
    if path is not None and option is not None:
        raise UsageError(
            f"data given twice: {path} and --data {option}", hint="Leave one of them out."
        )
    return option if path is None else path


_CARRIED_OUT = ("save_every", "track", "report", "profile")
"""Options that do not change the result."""


def _run_options(options: dict[str, Any], find_lr: bool = False) -> tuple[RunOptions, str | None]:
    """How training is carried out, taken out of ``options``; and the name of the surgery."""
    from zoo.engine.progress import Console
    from zoo.engine.surgery import find_surgery, name_of
    from zoo.registry.registry import Registry
    from zoo.system.parts import Parts, process_start
    from zoo.training.run_options import RunOptions

    surgery = options.pop("surgery", None)
    operation = find_surgery(surgery) if surgery else None
    kept = {key: options.pop(key) for key in _CARRIED_OUT if key in options}
    if find_lr and kept:
        typed = f"--{next(iter(kept)).replace('_', '-')}"
        raise UsageError(f"{typed} has no effect with --find-lr", hint=f"Leave {typed} out.")
    run_options = RunOptions(
        registry=Registry.discover(),
        reporter=Console(),
        surgery=operation,
        parts=Parts(process_start()),
        **kept,
    )
    return run_options, name_of(operation)


def _resumed(folder: Path, options: dict[str, Any]) -> Run:
    from zoo.training.resume import resume

    network = options.pop("network", None)
    return resume(folder, _run_options(options)[0], network)


def _refuse_others(ctx: click.Context, backbone: str | None, path: str | None) -> None:
    """Refuse options that would change a run that is resumed."""
    allowed = {"resume", *_CARRIED_OUT, "as_json", "surgery", "network"}
    given = [
        f"--{name.replace('_', '-')}"
        for name in ctx.params
        if name not in allowed
        and name not in ("backbone", "path")
        and ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    given = [*filter(None, (backbone, path)), *given]
    if given:
        raise UsageError(
            f"--resume does not accept {', '.join(given)}: a run resumes with its own options",
            hint="Leave that out, or start a new run.",
        )


def _is_first_process() -> bool:
    """Whether this process prints, of several that train together."""
    import os

    return os.environ.get("RANK", "0") == "0"


def _print_learning_rate(found: Any, as_json: bool) -> None:
    folder, curve = found
    if as_json:
        emit_json({"folder": str(folder), "lr": curve.suggestion})
        return
    say(f"suggested learning rate: {curve.suggestion:.1e}, where the loss falls fastest")
    say(f"curve: {folder / 'rates.png'}")
    say(f"next: the same command with --lr {curve.suggestion:.1e} instead of --find-lr")


def _print_data_notes(data: Mapping[str, Any]) -> None:
    """What was skipped or ignored in the data."""
    if count := len(data["skipped"]):
        inputs = "1 unreadable input" if count == 1 else f"{count:,} unreadable inputs"
        say(f"{inputs} skipped; run.json lists them")
    if count := data["ignored"]:
        files = "1 file" if count == 1 else f"{count:,} files"
        say(f"{files} without an image extension ignored")
    for fact in data["notes"]:
        say_wrapped(fact)
    if words := data["overlap"]:
        say_wrapped(words)


_OF_DATA = (
    *("skipped", "ignored", "notes", "columns", "quoting", "shared", "near"),
    *("shared_groups", "removed"),
)
"""Keys of the record's ``data`` that the JSON document has."""


def print_result(run: Any, as_json: bool) -> None:
    """Print the results of a run that has just been trained."""
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
                "interval": results.get("interval"),
                "calibration": results.get("calibration"),
                "folds": results.get("folds"),
                **({"agreement": results["agreement"]} if "agreement" in results else {}),
                "samples_per_second": results["samples_per_second"],
                "seconds": results["seconds"],
                **{key: run.record["data"][key] for key in _OF_DATA},
            }
        )
        return
    from zoo.runs.calibration_file import calibration_in_words
    from zoo.runs.folds import in_words
    from zoo.tasks import optimism
    from zoo.tasks.metrics import formatted

    strength, folds = results.get("best_strength"), results.get("folds")
    if folds:
        say_wrapped(in_words(folds, run.task.selection.title))
    best = f"epoch {results['best_epoch']}" if strength is None else f"strength {strength:g}"
    say_wrapped(
        f"best {best}{', out of fold' if folds else ''}: {formatted(run.metrics, run.task.selection)} "
        f"({results['seconds']:.0f} s, {results['samples_per_second']:.0f} samples/s)"
    )
    if found := results.get("interval"):
        say_wrapped(optimism.in_words(found, run.task.selection.title))
    if words := calibration_in_words(results.get("calibration")):
        say_wrapped(words)
    _print_data_notes(run.record["data"])
    say(f"run: {run.folder}")
    if page.is_file():
        say(f"report: {page}")
    say(f"next: {run.next_command()}")
