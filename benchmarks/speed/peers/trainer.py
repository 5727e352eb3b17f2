"""Hugging Face's Trainer on texts: padded to 128 tokens, or each batch to its longest text.

The network is the library's ``AutoModelForSequenceClassification``, with the library's pooler. The
learning rate of its defaults, 5e-5 for steps of 8, is twice that for steps of 32; a head alone
would learn little at such a rate, and has 1e-3.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.speed.peers.common import BATCH, Clock, freeze, options, tell

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
        transformers.set_seed(seed)  # the head's random parameters
        net = transformers.AutoModelForSequenceClassification.from_pretrained(weights, num_labels=2)
        if probe:
            freeze(net.base_model)
        clock = Clock()
        trainer = transformers.Trainer(
            model=net,
            args=arguments(folder, seed, epochs, 1e-3 if probe else 1e-4),
            train_dataset=texts["train"],
            eval_dataset=texts["dev"],
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
            compute_metrics=accuracy,
            callbacks=[timed(clock, len(texts["train"]))],
        )
        trainer.train()
    log = trainer.state.log_history
    accuracies = [entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry]
    tell(clock, accuracies, len(texts["dev"]))


def arguments(folder: str, seed: int, epochs: int, rate: float) -> Any:
    """The Trainer's arguments: its defaults, apart from these; bfloat16 where there is a GPU."""
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


def timed(clock: Clock, samples: int) -> Any:
    """A callback that lets ``clock`` run during the steps of each epoch, all ``samples`` of it."""
    import transformers

    class Timed(transformers.TrainerCallback):
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            clock.start()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            clock.stop(samples)  # validation comes after it

    return Timed()


def accuracy(given: Any) -> dict[str, float]:
    """The share of the samples whose highest output is the label's."""
    return {"accuracy": float((given.predictions.argmax(axis=-1) == given.label_ids).mean())}


if __name__ == "__main__":
    options(click.option("--padded", is_flag=True, help="Every text to 128 tokens.")(main))()
