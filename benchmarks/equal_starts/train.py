"""Train one method in this process, and print its accuracies as JSON."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import benchmarks.speed.peers.common  # noqa: F401 - declares operators that torchvision needs
from benchmarks.equal_starts.job import Job

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("function")
@click.option("--dataset", required=True)
@click.option("--data", type=PATH, required=True)
@click.option("--start", type=PATH, required=True)
@click.option("--epochs", type=int, required=True)
@click.option("--seed", type=int, required=True)
@click.option("--size", type=int, required=True)
@click.option("--samples", type=int, required=True)
@click.option("--work", type=PATH, required=True)
def main(function: str, **values: Any) -> None:
    """Run FUNCTION, as MODULE:NAME within this package."""
    module, _, name = function.partition(":")
    train = getattr(importlib.import_module(f"benchmarks.equal_starts.{module}"), name)
    print(json.dumps(asdict(train(Job(**values)))))


if __name__ == "__main__":
    main()
