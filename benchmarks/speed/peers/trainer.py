"""Hugging Face's Trainer on texts, padded to 128 tokens or to the longest text of each batch.

The network is ``AutoModelForSequenceClassification`` with its own pooler. The default learning rate, 5e-5 at
batch size 8, is doubled for batch size 32; training only the head needs a higher one, 1e-3.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.speed.peers.common import BATCH, TrainingTimer, freeze, options, print_result

LENGTH = 128


def main(data: Path, weights: Path, epochs: int, seed: int, probe: bool, padded: bool) -> None:
    """Train a text encoder on train.tsv, columns text and label, and validate on dev.tsv."""
    import datasets
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        files = {split: str(data / f"{split}.tsv") for split in ("train", "dev")}
        texts = datasets.load_dataset(
            "csv", data_files=files, sep="\t", quoting=3, cache_dir=folder
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(weights)
        padding = "max_length" if padded else False
        texts = texts.map(
            lambda rows: tokenizer(
                rows["text"], truncation=True, max_length=LENGTH, padding=padding
            ),
            batched=True,
        )
        transformers.set_seed(seed)  # seeds the head's initial weights
        net = transformers.AutoModelForSequenceClassification.from_pretrained(weights, num_labels=2)
        if probe:
            freeze(net.base_model)
        timer = TrainingTimer()
        trainer = transformers.Trainer(
            model=net,
            args=arguments(folder, seed, epochs, 1e-3 if probe else 1e-4),
            train_dataset=texts["train"],
            eval_dataset=texts["dev"],
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
            compute_metrics=accuracy,
            callbacks=[timed(timer, len(texts["train"]))],
        )
        trainer.train()
    log = trainer.state.log_history
    accuracies = [entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry]
    print_result(timer, accuracies, len(texts["dev"]))


def arguments(folder: str, seed: int, epochs: int, rate: float) -> Any:
    """Training arguments; the others have their defaults. Uses bfloat16 on a GPU."""
    import torch
    import transformers

    return transformers.TrainingArguments(
        output_dir=folder,
        seed=seed,
        num_train_epochs=epochs,
        learning_rate=rate,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        bf16=torch.cuda.is_available(),
    )


def timed(timer: TrainingTimer, samples: int) -> Any:
    """A callback that times the training steps of each epoch of ``samples`` samples."""
    import transformers

    class Timed(transformers.TrainerCallback):
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            timer.start()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            timer.stop(samples)  # validation runs after this

    return Timed()


def accuracy(outputs: Any) -> dict[str, float]:
    """Top-1 accuracy."""
    return {"accuracy": float((outputs.predictions.argmax(axis=-1) == outputs.label_ids).mean())}


if __name__ == "__main__":
    options(click.option("--padded", is_flag=True, help="Pad every text to 128 tokens.")(main))()
