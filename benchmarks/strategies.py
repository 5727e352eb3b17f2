"""Accuracy of zoo's strategies, compared with Hugging Face's Trainer and logistic regression.

Fine-tunes a small pretrained BERT (all-MiniLM-L6-v2) on sentiment classification (SST-2). Each strategy
and the Trainer use their default settings and the same number of epochs; metrics are computed on
SST-2's ``dev`` split. Each result is saved immediately and not measured again, so an interrupted
benchmark can be continued.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import zoo
from benchmarks.report import (
    Result,
    measure_once,
    packaged_model,
    percent,
    read_results,
    table,
    update_readme,
)
from zoo.engine.progress import Console
from zoo.modalities import TEXT

STRATEGIES = ("two-stage", "full", "gradual", "lora", "bias", "probe")
TRAINER, REGRESSION = "Trainer", "logistic regression"
METHODS = (*STRATEGIES, TRAINER, REGRESSION)

Measured = dict[str, Any]

RESULTS = Path(__file__).with_name("strategies.jsonl")


@click.command()
@click.option(
    "--data",
    default="../shared/data/sst2",
    show_default=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with train.tsv and dev.tsv, columns text and label.",
)
@click.option("--model", type=click.Path(path_type=Path), help="Model folder (save_pretrained).")
@click.option("--epochs", default=1, show_default=True, help="Number of epochs.")
@click.option("--seeds", default="0,1,2", show_default=True)
@click.option("--only", default=",".join(METHODS), help="Comma-separated methods; default: all.")
@click.option("--limit", type=int, help="Maximum number of texts per split, for a trial run.")
@click.option(
    "--results", default=RESULTS, type=click.Path(path_type=Path), help="File for results."
)
@click.option("--write/--no-write", default=True, help="Whether to update README.md.")
def main(
    data: Path,
    model: Path | None,
    epochs: int,
    seeds: str,
    only: str,
    limit: int | None,
    results: Path,
    write: bool,
) -> None:
    """Compare strategies. Results already saved are not measured again."""
    selected = [name.strip() for name in only.split(",")]
    if unknown := set(selected) - set(METHODS):
        raise click.BadParameter(
            f"unknown: {', '.join(unknown)}; choose from: {', '.join(METHODS)}"
        )
    model = model or packaged_model()
    all_seeds = [int(seed) for seed in seeds.split(",")]
    with limited(data, limit) as texts:
        for seed in all_seeds:
            for method in selected:
                key = {"method": method, "epochs": epochs, "seed": seed, "limit": limit}
                if method == REGRESSION and seed != all_seeds[0]:
                    continue  # deterministic
                measure_once(results, key, lambda k=key: measure(k, texts, model))  # type: ignore[misc]
    found = [r for r in read_results(results) if (r["epochs"], r["limit"]) == (epochs, limit)]
    text = report(found, epochs, limit)
    print(text)
    if write:
        update_readme("strategies", text)


@contextmanager
def limited(data: Path, limit: int | None) -> Any:
    """The data folder, or a copy with the first ``limit`` texts of each split."""
    if limit is None:
        yield data
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in ("train.tsv", "dev.tsv"):
            lines = (data / name).read_text(encoding="utf-8").splitlines(keepends=True)
            (Path(folder) / name).write_text("".join(lines[: limit + 1]), encoding="utf-8")
        yield Path(folder)


# -- measuring -----------------------------------------------------------------------------------


def measure(key: Mapping[str, Any], texts: Path, model: Path) -> Measured:
    """Last and best accuracy on ``dev``, parameters and seconds, with an empty cache."""
    with tempfile.TemporaryDirectory() as work:
        # Empty, so that the time of each method includes computing features.
        os.environ["ZOO_CACHE"] = os.path.join(work, "cache")
        if key["method"] == REGRESSION:
            return with_regression(texts, model)
        train = with_trainer if key["method"] == TRAINER else with_zoo
        return train(key, texts, model, Path(work))


def with_zoo(key: Mapping[str, Any], texts: Path, model: Path, work: Path) -> Measured:
    """Fine-tune with zoo's defaults; the probe uses its own default number of epochs."""
    reporter = _ParameterCounter()
    probe = key["method"] == "probe"
    run = zoo.finetune(
        f"path:{model}",
        texts,
        strategy=key["method"],
        epochs=None if probe else key["epochs"],
        seed=key["seed"],
        output=work / "run",
        reporter=reporter,
    )
    lines = (run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    accuracies = [json.loads(line)["accuracy"] for line in lines]
    return {
        "last": accuracies[-1],
        "best": max(accuracies),
        "trained": reporter.trained,
        "parameters": reporter.parameters,
        "lr": None if probe else run.record["recipe"]["lr"],
        "batch_size": None if probe else run.record["recipe"]["batch_size"],
        "seconds": run.record["results"]["seconds"],
    }


class _ParameterCounter(Console):
    """Console output that also records the largest number of trained parameters of any phase."""

    trained = parameters = 0

    def header(self, facts: Mapping[str, str]) -> None:
        """Print the header and record its parameter counts."""
        super().header(facts)
        for fact in facts.values():
            if found := re.match(r"trains ([\d,]+) of ([\d,]+) parameters", fact):
                trained, parameters = (int(digits.replace(",", "")) for digits in found.groups())
                if "stage after stage" in fact:  # the header counts only the first stage
                    trained = parameters
                self.trained = max(self.trained, trained)
                self.parameters = max(self.parameters, parameters)


def with_trainer(key: Mapping[str, Any], texts: Path, model: Path, work: Path) -> Measured:
    """Hugging Face's Trainer with its default arguments."""
    import datasets
    import transformers

    files = {split: str(texts / f"{split}.tsv") for split in ("train", "dev")}
    data = datasets.load_dataset("csv", data_files=files, sep="\t", cache_dir=str(work), quoting=3)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    data = data.map(lambda rows: tokenizer(rows["text"], truncation=True), batched=True)
    transformers.set_seed(key["seed"])  # seeds the head's initial weights
    net = transformers.AutoModelForSequenceClassification.from_pretrained(model, num_labels=2)
    arguments = transformers.TrainingArguments(
        output_dir=str(work / "trainer"),
        seed=key["seed"],
        num_train_epochs=key["epochs"],
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
    )
    trainer = transformers.Trainer(
        model=net,
        args=arguments,
        train_dataset=data["train"],
        eval_dataset=data["dev"],
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
        compute_metrics=_accuracy,
    )
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    log = trainer.state.log_history
    accuracies = [entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry]
    count = sum(p.numel() for p in net.parameters())
    return {
        "last": accuracies[-1],
        "best": max(accuracies),
        "trained": count,
        "parameters": count,
        "lr": arguments.learning_rate,
        "batch_size": arguments.per_device_train_batch_size,
        "seconds": round(seconds, 2),
    }


def _accuracy(outputs: Any) -> dict[str, float]:
    return {"accuracy": float((outputs.predictions.argmax(axis=-1) == outputs.label_ids).mean())}


def with_regression(texts: Path, model: Path) -> Measured:
    """Fit scikit-learn's logistic regression, with its defaults, on the features used by the probe."""
    from sklearn.linear_model import LogisticRegression

    from zoo.data.dataset import open_data
    from zoo.tasks import AUTO, tasks_for

    start = time.perf_counter()
    backbone = zoo.load(f"path:{model}")
    splits = open_data(texts, kind=TEXT, tasks=tasks_for(AUTO))
    assert splits.val is not None
    regression = LogisticRegression(max_iter=1000)
    regression.fit(_features(backbone, splits.train), splits.train.labels)
    accuracy = float(regression.score(_features(backbone, splits.val), splits.val.labels))
    trained = int(regression.coef_.size + regression.intercept_.size)
    return {
        "last": accuracy,
        "best": accuracy,
        "trained": trained,
        "parameters": sum(p.numel() for p in backbone.net.parameters()) + trained,
        "lr": None,
        "batch_size": None,
        "seconds": round(time.perf_counter() - start, 2),
    }


def _features(backbone: zoo.Backbone, samples: Any) -> NDArray[np.float32]:
    """Features ``(len(samples), feature_dim)``, with the same preprocessing as fine-tuning."""
    import torch

    from zoo.engine.forward import Forward
    from zoo.engine.loader_factory import LoaderFactory

    forward = Forward(backbone, device=torch.device("cpu"), precision="fp32")
    rows = np.empty((len(samples), backbone.spec.feature_dim), dtype=np.float32)
    for batch in LoaderFactory(spec=backbone.spec, tokenizer=backbone.tokenizer).plain(samples):
        rows[batch["index"].numpy()] = forward.features(batch).cpu().numpy()
    return rows


# -- the table -----------------------------------------------------------------------------------


def report(results: Sequence[Result], epochs: int, limit: int | None) -> str:
    """A table of all methods with results, the settings, and the machine."""
    columns = [
        "method", "accuracy on dev, %", "best epoch, %", "difference from the Trainer", "trained",
        "learning rate", "seconds",
    ]  # fmt: skip
    by_method = {name: [r for r in results if r["method"] == name] for name in METHODS}
    trainer = {r["seed"]: r["last"] for r in by_method[TRAINER]}
    rows = [_row(name, found, trainer) for name, found in by_method.items() if found]
    seeds = sorted({r["seed"] for r in results})
    subset = f", the first {limit} texts of each split" if limit else ""
    machines = sorted({r["machine"] for r in results})
    return "\n\n".join(
        [
            table(columns, rows),
            f"{epochs} {'epoch' if epochs == 1 else 'epochs'}, seeds "
            f"{', '.join(map(str, seeds))}{subset}; mean ± standard deviation, after the last epoch "
            "and after the best epoch.",
            f"`python -m benchmarks.strategies --epochs {epochs}` on {'; '.join(machines)}.",
        ]
    )


def _row(name: str, found: Sequence[Result], trainer: Mapping[int, float]) -> list[str]:
    pairs = [(r["last"], trainer[r["seed"]]) for r in found if r["seed"] in trainer]
    difference = percent([own - other for own, other in pairs]) if pairs and name != TRAINER else ""
    fraction = found[0]["trained"] / found[0]["parameters"]
    seconds = sum(r["seconds"] for r in found) / len(found)
    return [
        name if name in (TRAINER, REGRESSION) else f"`{name}`",
        percent([r["last"] for r in found]),
        percent([r["best"] for r in found]),
        difference,
        f"{found[0]['trained']:,} ({100 * fraction:.2f} %)",
        f"{found[0]['lr']:g}" if found[0]["lr"] else "",
        f"{seconds:.0f}",
    ]


if __name__ == "__main__":
    main()
