"""Kill fine-tunes at random points, resume them, and compare with undisturbed ones to the byte.

All strategies in turn, with Ctrl-C, SIGTERM and ``kill -9``:

    python -m tests.faults.kills --kills 40
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

from tests.faults import children, tallies
from tests.faults.tallies import Tally

SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
SAVE_EVERY = 0.05  # seconds

CASES: Mapping[str, Mapping[str, Any]] = {
    "full": {"backbone": "cnn", "classes": 3, "epochs": 2, "workers": 1},
    "probe": {"backbone": "cnn", "classes": 3, "epochs": 30},
    "two-stage": {"backbone": "lstm", "classes": 2, "epochs": 1},
    "gradual": {"backbone": "cnn", "classes": 3, "epochs": 2, "ema": 0.9},
    "lora": {"backbone": "cnn", "classes": 3, "epochs": 2, "lora_dropout": 0.1},
    "bias": {"backbone": "cnn", "classes": 3, "epochs": 2, "mixup": 0.2, "augment": "trivial"},
    "norm": {"backbone": "cnn", "classes": 3, "epochs": 2, "ema": 0.9, "balanced": True},
}


def digest(run: Path) -> dict[str, str]:
    """What must be the same: weights, predictions, and every metric but times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"], line["samples_per_second"]
        line.pop("waiting", None)
    record = json.loads((run / "run.json").read_text())
    return {
        **{
            name: hashlib.sha256((run / name).read_bytes()).hexdigest()
            for name in ("model.safetensors", "predictions.parquet")
        },
        "metrics.jsonl": json.dumps(lines),
        "results": json.dumps([record["results"]["metrics"], record["results"]["best_epoch"]]),
    }


def torment(folder: Path, kills: int, seed: int) -> Tally:
    """Kill ``kills`` times, the strategies in turn; each run is killed until it has had enough."""
    os.environ |= {"OMP_NUM_THREADS": "1", "ZOO_CACHE": str(folder / "cache")}
    import torch

    import zoo
    from zoo.engine.progress import Quiet
    from zoo.registry.registry import Registry

    torch.set_num_threads(1)
    chance, tally, registry = random.Random(seed), Tally(), Registry.discover()
    undisturbed: dict[str, tuple[dict[str, str], float]] = {}

    def train(strategy: str, output: Path) -> None:
        zoo.finetune(
            **CASES[strategy] | {"workers": CASES[strategy].get("workers", 0)},
            strategy=strategy,
            output=output,
            save_every=SAVE_EVERY,
            seed=7,
            registry=registry,
            reporter=Quiet(),
            report=False,
        )

    def go_on(output: Path) -> None:
        zoo.resume(output, save_every=SAVE_EVERY, registry=registry, reporter=Quiet(), report=False)

    train("full", folder / "warm")  # so that children inherit what is imported on the way
    for round_number, strategy in enumerate(cycle(CASES)):
        if tally.kills >= kills:
            return tally
        if strategy not in undisturbed:
            output = folder / f"{strategy}-undisturbed"
            child = children.fork(lambda: train(strategy, output))  # noqa: B023
            while not (output / "run.json").exists():
                time.sleep(0.005)
            began = time.monotonic()
            assert children.wait(child) == children.DONE, strategy
            undisturbed[strategy] = digest(output), time.monotonic() - began
        expected, seconds = undisturbed[strategy]
        output = folder / f"{strategy}-{round_number}"
        child = children.fork(lambda: train(strategy, output))  # noqa: B023
        for blow in range(3):
            number = chance.choice(SIGNALS)
            ended = children.strike(child, chance.uniform(0, seconds / 2), number, output)
            if ended == children.DONE:
                break
            assert ended != children.FAILED, f"{strategy} failed after blow {blow}"
            tally.kills += 1
            tally.begun += (output / "last").is_dir()
            record = output / "run.json"
            if record.exists() and json.loads(record.read_text())["finished"]:
                break  # it came too late
            if not record.exists():  # before there was a run
                child = children.fork(lambda: train(strategy, output))  # noqa: B023
            else:
                child = children.fork(lambda: go_on(output))  # noqa: B023
        else:
            assert children.wait(child) == children.DONE, f"{strategy} could not go on"
        found = digest(output)
        if found == expected:
            tally.whole += 1
        else:
            names = [name for name in expected if found[name] != expected[name]]
            tally.lost += (f"{strategy} in round {round_number}: {', '.join(names)}",)
        shutil.rmtree(output)
    raise AssertionError("unreachable: cycle never ends")


if __name__ == "__main__":
    tallies.main(__doc__, torment, kills=40)
