"""``zoo finetune``: adapt a backbone to pictures or texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo.cli.output import emit_json, say


@click.command(
    epilog="""\b
Examples:
  zoo finetune resnet18 --classes 5
  zoo finetune resnet18 --data photos/
  zoo finetune vgg16 --data photos/ --strategy probe --epochs 30
  zoo finetune resnet50 --data photos/ --strategy full --freeze-until layer2
  zoo finetune bert-base-uncased --data reviews.csv --epochs 2
  zoo finetune lstm --data reviews.tsv --text-column review --label-column stars
"""
)
@click.argument("backbone")
@click.option("--data", metavar="PATH", help="Folder, table, or hf:NAME; default: demo data.")
@click.option("--classes", type=int, metavar="N", help="How many classes the data must have.")
@click.option("--strategy", metavar="NAME", help="probe, full, two-stage, or a plugin's.")
@click.option("--freeze-until", metavar="STAGE", help="The last stage that never trains.")
@click.option("--head", default="linear", metavar="NAME", help="linear, mlp, or a plugin's.")
@click.option("--epochs", type=int, metavar="N", help="Passes of the strategy's last phase.")
@click.option("--lr", type=float, metavar="RATE", help="Learning rate of the last phase.")
@click.option("--batch-size", type=int, metavar="N", help="Samples a step; default: 32.")
@click.option("--weight-decay", type=float, metavar="RATE", help="AdamW's decoupled decay.")
@click.option("--weights", default="auto", metavar="auto|none|TAG|PATH", help="What to start from.")
@click.option(
    "--precision",
    default="auto",
    type=click.Choice(["auto", "fp32", "bf16"]),
    help="bf16 where the device is fast at it; default: auto.",
)
@click.option("--image-size", type=int, metavar="PIXELS", help="Height and width of pictures.")
@click.option("--max-length", type=int, metavar="TOKENS", help="Where texts are cut.")
@click.option(
    "--pooling",
    type=click.Choice(["cls", "mean", "last", "pooler"]),
    help="How one vector is made of a text.",
)
@click.option("--text-column", metavar="NAME", help="Column of texts, or of pictures' paths.")
@click.option("--label-column", metavar="NAME", help="Column of labels.")
@click.option(
    "--val-split", default=0.2, metavar="SHARE", help="Held out where no split is; default: 0.2."
)
@click.option(
    "--bad-files",
    default="error",
    type=click.Choice(["error", "skip"]),
    help="What to do about files and rows that cannot be read; default: error.",
)
@click.option("--seed", default=0, metavar="N", help="Of everything random; default: 0.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="The run folder.")
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, …")
@click.option("--workers", type=int, metavar="N", help="Processes that prepare pictures.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(backbone: str, as_json: bool, **options: Any) -> None:
    """Fine-tune BACKBONE on pictures or texts and write a run folder.

    With pretrained weights the head is fitted first, on features that are computed once, and
    then everything trains from there (two-stage); from random parameters everything trains at
    once (full). Without --data it runs on a small set of demo data.
    """
    import zoo

    run = zoo.finetune(backbone, **options)
    results = run.record["results"]
    if as_json:
        weights = run.record["weights"]
        emit_json(
            {
                "run": str(run.folder),
                "backbone": run.backbone_name,
                "weights": weights["tag"] if weights else "none",
                "classes": list(run.classes),
                "strategy": run.record["strategy"],
                "best_epoch": results["best_epoch"],
                "metrics": run.metrics,
                "samples_per_second": results["samples_per_second"],
                "seconds": results["seconds"],
                "skipped": run.record["data"]["skipped"],
            }
        )
        return
    metrics = run.metrics
    say(
        f"best epoch {results['best_epoch']}: accuracy {metrics['accuracy']:.4f}, "
        f"macro F1 {metrics['macro_f1']:.4f}, loss {metrics['loss']:.4f} "
        f"({results['seconds']:.0f} s, {results['samples_per_second']:.0f} samples/s)"
    )
    if skipped := run.record["data"]["skipped"]:
        say(f"{len(skipped)} unreadable inputs were left out; run.json lists them")
    say(f"run: {run.folder}")
    say(f"next: {run.next_command()}")
