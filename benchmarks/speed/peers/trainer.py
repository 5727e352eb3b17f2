"""Hugging Face's Trainer on texts, padded to the longest text of each batch.

The network is ``AutoModelForSequenceClassification`` with its own pooler, or, with ``--pooling mean``,
``AutoModel`` with the mean of the tokens and a linear head, as zoo has it by default. The learning rate is the
default, 5e-5 at batch size 8, times the square root of the batch size: 1e-4 for 32. A frozen network needs a higher
one: 1e-3.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import click
from torch import Tensor, nn

from benchmarks.speed.peers.common import Settings, TrainingTimer, freeze, options, print_result

RATE, AT = 5e-5, 8
"""The Trainer's default learning rate and batch size."""

PROBE_RATE = 1e-3


class MeanPooled(nn.Module):
    """A text encoder, the mean of its tokens, and a linear head; returns loss and logits."""

    def __init__(self, weights: Path, classes: int) -> None:
        import transformers

        super().__init__()
        self.base_model = transformers.AutoModel.from_pretrained(weights, add_pooling_layer=False)
        self.head = nn.Linear(self.base_model.config.hidden_size, classes)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss and logits of a padded batch."""
        tokens = self.base_model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
        logits = self.head((tokens * mask).sum(1) / mask.sum(1))
        found = {} if labels is None else {"loss": nn.functional.cross_entropy(logits, labels)}
        return {**found, "logits": logits}


def main(settings: Settings, pooling: str) -> None:
    """Train a text encoder on train.tsv, columns text and label, and validate on dev.tsv."""
    import transformers

    rate = learning_rate(settings)
    with tempfile.TemporaryDirectory() as folder:
        texts, tokenizer = tokenized(settings, folder)
        transformers.set_seed(settings.seed)  # seeds the head's initial weights
        classes = len(set(texts["train"]["label"]))
        net: Any = (
            MeanPooled(settings.weights, classes)
            if pooling == "mean"
            else transformers.AutoModelForSequenceClassification.from_pretrained(
                settings.weights, num_labels=classes
            )
        )
        if settings.probe:
            freeze(net.base_model)
        timer = TrainingTimer()
        trainer = transformers.Trainer(
            model=net,
            args=arguments(folder, settings, rate),
            train_dataset=texts["train"],
            eval_dataset=texts["dev"],
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
            compute_metrics=accuracy,
            callbacks=[timed(timer, len(texts["train"]))],
        )
        trainer.train()
    count = len(texts["dev"])
    print_result(timer, accuracies(trainer), count, batch=settings.batch, lr=rate)


def tokenized(settings: Settings, folder: str) -> tuple[Any, Any]:
    """The texts as token ids, not padded, and the tokenizer."""
    import datasets
    import transformers

    files = {split: str(settings.data / f"{split}.tsv") for split in ("train", "dev")}
    texts = datasets.load_dataset("csv", data_files=files, sep="\t", quoting=3, cache_dir=folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(settings.weights)
    length = min(settings.size, 128)
    return texts.map(
        lambda rows: tokenizer(rows["text"], truncation=True, max_length=length), batched=True
    ), tokenizer


def learning_rate(settings: Settings) -> float:
    """The Trainer's default, scaled with the square root of the batch size; higher for a probe."""
    return PROBE_RATE if settings.probe else RATE * math.sqrt(settings.batch / AT)


def arguments(folder: str, settings: Settings, rate: float) -> Any:
    """Training arguments; the others have their defaults. Uses bfloat16 on a GPU."""
    import torch
    import transformers

    return transformers.TrainingArguments(
        output_dir=folder,
        seed=settings.seed,
        num_train_epochs=settings.epochs,
        learning_rate=rate,
        per_device_train_batch_size=settings.batch,
        per_device_eval_batch_size=settings.batch,
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        bf16=torch.cuda.is_available(),
        label_names=["labels"],
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


def accuracies(trainer: Any) -> list[float]:
    """Validation accuracy after each epoch."""
    log = trainer.state.log_history
    return [entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry]


if __name__ == "__main__":
    choice = click.Choice(["pooler", "mean"])
    options(click.option("--pooling", type=choice, default="pooler", help="Pooling.")(main))()
