"""What was meant by a mistyped command, option or value: the closest name, or a known synonym."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping

import click

from zoo.errors import did_you_mean, nearest_word

COMMANDS: Mapping[str, str] = {
    "train": "finetune",
    "fit": "finetune",
    "fine-tune": "finetune",
    "ft": "finetune",
    "resume": "finetune --resume",
    "open": "show",
    "info": "show",
    "inspect": "show",
    "describe": "show",
    "summary": "show",
    "rm": "runs --delete",
    "remove": "runs --delete",
    "delete": "runs --delete",
    "del": "runs --delete",
    "ls": "list",
    "models": "list",
    "search": "list",
    "catalog": "list",
    "catalogue": "list",
    "history": "runs",
    "experiments": "runs",
    "test": "evaluate",
    "eval": "evaluate",
    "val": "evaluate",
    "validate": "evaluate",
    "score": "evaluate",
    "metrics": "evaluate",
    "infer": "predict",
    "inference": "predict",
    "classify": "predict",
    "run": "predict",
    "benchmark": "compare",
    "diff": "compare",
    "features": "embed",
    "extract": "embed",
    "sweep": "tune",
    "hpo": "tune",
    "optimize": "tune",
    "install": "plugins",
    "plugin": "plugins",
    "pull": "download",
    "fetch": "download",
    "get": "download",
    "upload": "push",
    "publish": "push",
    "register": "add",
    "convert": "export",
    "onnx": "export",
    "average": "soup",
    "init": "new-plugin",
    "create": "new-plugin",
    "new": "new-plugin",
    "web": "serve",
    "app": "serve",
    "suggest": "recommend",
    "rank": "recommend",
    "labels": "clean",
    "env": "doctor",
    "help": "--help",
}
"""What newcomers type, and what it is called here."""

_DEVICE = ("--device cuda",)
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "--gpu": _DEVICE,
    "--cuda": _DEVICE,
    "--gpus": _DEVICE,
    "--num-gpus": _DEVICE,
    "--cpu": ("--device cpu",),
    "--mps": ("--device mps",),
    "--learning-rate": ("--lr",),
    "--rate": ("--lr",),
    "--bs": ("--batch-size",),
    "--batch": ("--batch-size",),
    "--num-epochs": ("--epochs",),
    "--num-train-epochs": ("--epochs",),
    "--steps": ("--epochs",),
    "--num-workers": ("--workers",),
    "--jobs": ("--workers",),
    "--threads": ("--workers",),
    "--tag": ("--weights", "--name"),
    "--pretrained": ("--weights",),
    "--checkpoint": ("--weights", "--resume", "RUN"),
    "--ckpt": ("--weights", "--resume", "RUN"),
    "--model": ("BACKBONE", "RUN", "NAME", "PATTERN", "--backbone"),
    "--arch": ("BACKBONE", "NAME", "PATTERN", "--backbone"),
    "--backbone": ("BACKBONE", "RUN", "NAME", "PATTERN"),
    "--network": ("BACKBONE", "NAME"),
    "--run": ("RUN",),
    "--name": ("NAME", "BACKBONE"),
    "--dataset": ("--data", "INPUT"),
    "--train": ("--data",),
    "--train-dir": ("--data",),
    "--data-dir": ("--data",),
    "--folder": ("--data", "INPUT"),
    "--path": ("--data", "INPUT"),
    "--input": ("INPUT", "--data"),
    "--image": ("INPUT", "--data"),
    "--out": ("--output",),
    "--output-dir": ("--output",),
    "--save-dir": ("--output",),
    "--save": ("--output",),
    "--img-size": ("--image-size",),
    "--imgsz": ("--image-size",),
    "--size": ("--image-size", "--input-size"),
    "--num-classes": ("--classes",),
    "--labels": ("--label-column",),
    "--target": ("--label-column",),
    "--text": ("--text-column",),
    "--cv": ("--folds",),
    "--kfold": ("--folds",),
    "--optim": ("--optimizer",),
    "--scheduler": ("--schedule",),
    "--fp16": ("--precision fp16",),
    "--bf16": ("--precision bf16",),
    "--amp": ("--precision auto",),
    "--half": ("--precision fp16",),
    "--early-stopping": ("--patience",),
    "--grad-clip": ("--clip",),
    "--max-grad-norm": ("--clip",),
    "--gradient-accumulation-steps": ("--accumulate",),
    "--gradient-checkpointing": ("--activation-checkpointing",),
    "--wd": ("--weight-decay",),
    "--warmup-ratio": ("--warmup",),
    "--wandb": ("--track wandb",),
    "--tensorboard": ("--track tensorboard",),
    "--freeze-backbone": ("--strategy probe",),
    "--linear-probe": ("--strategy probe",),
    "--lora": ("--strategy lora",),
    "--silent": ("--quiet",),
    "--force": ("--yes",),
    "--format": ("--json", "FORMAT"),
    "--limit": ("--time-limit",),
    "--max-time": ("--time-limit",),
    "--type": ("--modality", "--task"),
    "--filter": ("PATTERN",),
    "--query": ("PATTERN",),
}
"""What other tools call an option, and what it is called here: the first that the command has."""


def command_guess(name: str, commands: Collection[str]) -> str:
    """A suggestion to append to the error for an unknown command, or an empty string."""
    meant = {
        word: command
        for word, command in COMMANDS.items()
        if command.startswith("-") or command.partition(" ")[0] in commands
    }
    word = name.lower()
    near = meant.get(word) or nearest_word(name, commands) or meant.get(nearest_word(word, meant))
    return f" Did you mean {near!r}?" if near else ""


@contextlib.contextmanager
def suggesting() -> Iterator[None]:
    """Errors of click for an option or a value get zoo's suggestion in the place of click's own."""
    try:
        yield
    except click.NoSuchOption as error:
        guess = _option_guess(error.option_name, error.ctx.command) if error.ctx else ""
        message = f"No such option {error.option_name!r}.{guess}"
        raise click.NoSuchOption(error.option_name, message, ctx=error.ctx) from error
    except click.BadParameter as error:
        kind = error.param.type if error.param else None
        given = error.message.partition("'")[2].partition("'")[0]
        if isinstance(kind, click.Choice) and given and "Did you mean" not in error.message:
            guess = did_you_mean(given, [str(choice) for choice in kind.choices])
            message = f"{error.message}{guess}"
            raise click.BadParameter(message, error.ctx, error.param) from error
        raise


def _option_guess(name: str, command: click.Command) -> str:
    """A suggestion for an unknown option of ``command``, or an empty string."""
    options = [
        flag
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for flag in (*parameter.opts, *parameter.secondary_opts)
        if flag.startswith("--")
    ]
    arguments = [
        p.make_metavar(click.Context(command)).strip("[].")
        for p in command.params
        if isinstance(p, click.Argument)
    ]
    word = name.lower().replace("_", "-")
    for meant in OPTIONS.get(word, ()):
        if meant.partition(" ")[0] in options:
            return f" Did you mean {meant!r}?"
        if meant in arguments:
            return f" {meant} needs no option: zoo {command.name} {meant}"
    others = {
        other: meant[0] for other, meant in OPTIONS.items() if meant[0].partition(" ")[0] in options
    }
    known = {flag.lstrip("-"): flag for flag in [*others, *options]}
    near = known.get(nearest_word(word.lstrip("-"), known), "")
    return f" Did you mean {others.get(near, near)!r}?" if near else ""
