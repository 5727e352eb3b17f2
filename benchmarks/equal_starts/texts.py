"""Other libraries on texts, from the same all-MiniLM-L6-v2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.equal_starts.job import Best, Job, Scores
from benchmarks.speed.peers.common import freeze
from benchmarks.speed.peers.trainer import AT, RATE, MeanPooled, accuracy


def trainer(job: Job) -> Scores:
    """Hugging Face's Trainer with ``AutoModelForSequenceClassification`` and its pooler."""
    import transformers

    transformers.set_seed(job.seed)
    net = transformers.AutoModelForSequenceClassification.from_pretrained(job.start, num_labels=2)
    return _with_trainer(job, net)


def trainer_mean(job: Job) -> Scores:
    """The same with the mean of the tokens and a linear head, as zoo has it by default."""
    import transformers

    transformers.set_seed(job.seed)
    return _with_trainer(job, MeanPooled(job.start, 2))


def _with_trainer(job: Job, net: nn.Module) -> Scores:
    import transformers

    data, tokenizer = _tokenized(job)
    return fitted(job, net, data, transformers.DataCollatorWithPadding(tokenizer))


def fitted(job: Job, net: nn.Module, data: Mapping[str, Any], collate: Any) -> Scores:
    """Train with the Trainer, and load the epoch that is best on ``val``."""
    import transformers

    arguments = transformers.TrainingArguments(
        output_dir=str(job.work / "trainer"),
        seed=job.seed,
        num_train_epochs=job.epochs,
        learning_rate=RATE * math.sqrt(job.batch / AT),
        per_device_train_batch_size=job.batch,
        per_device_eval_batch_size=job.batch,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        report_to="none",
        label_names=["labels"],
    )
    run: Any = transformers.Trainer(
        model=net,
        args=arguments,
        train_dataset=data["train"],
        eval_dataset=data["val"],
        data_collator=collate,
        compute_metrics=accuracy,
    )
    run.train()
    val, test = (run.evaluate(data[split])["eval_accuracy"] for split in ("val", "test"))
    return Scores(float(val), float(test))


def two_stage_loop(job: Job) -> Scores:
    """A loop by hand: an epoch of a linear head on the mean of the tokens, then the whole network.

    AdamW, at 1e-3 for the head alone and the Trainer's learning rate for all, which falls linearly.
    """
    import transformers

    torch.manual_seed(job.seed)
    data, tokenizer = _tokenized(job)
    collate = transformers.DataCollatorWithPadding(tokenizer)
    loaders = {
        split: torch.utils.data.DataLoader(
            _columns(data[split]),
            batch_size=job.batch,
            shuffle=split == "train",
            collate_fn=collate,
        )
        for split in data
    }
    net, best = MeanPooled(job.start, 2), Best()
    freeze(net.base_model)
    _loop(net, loaders, 1, 1e-3, best)
    for parameter in net.parameters():
        parameter.requires_grad = True
    _loop(net, loaders, job.epochs, RATE * math.sqrt(job.batch / AT), best)
    return Scores(best.val, _accuracy(best.restore(net), loaders["test"]))


def _loop(net: nn.Module, loaders: Mapping[str, Any], epochs: int, rate: float, best: Best) -> None:
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate)
    steps = epochs * len(loaders["train"])
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(epochs):
        net.train()
        for batch in loaders["train"]:
            optimizer.zero_grad()
            net(**batch)["loss"].backward()
            optimizer.step()
            scheduler.step()
        best.update(net, _accuracy(net, loaders["val"]))


@torch.no_grad()
def _accuracy(net: nn.Module, loader: Any) -> float:
    net.eval()
    correct = seen = 0
    for batch in loader:
        labels: Tensor = batch["labels"]
        correct += int((net(**batch)["logits"].argmax(1) == labels).sum())
        seen += len(labels)
    return correct / seen


def _tokenized(job: Job) -> tuple[Any, Any]:
    """The splits as token ids, and the tokenizer."""
    import datasets
    import transformers

    files = {split: str(job.data / f"{split}.tsv") for split in ("train", "val", "test")}
    cache = str(job.work / "datasets")
    texts = datasets.load_dataset("csv", data_files=files, sep="\t", quoting=3, cache_dir=cache)
    tokenizer = transformers.AutoTokenizer.from_pretrained(job.start)
    return texts.map(
        lambda rows: tokenizer(rows["text"], truncation=True, max_length=job.length), batched=True
    ), tokenizer


def _columns(split: Any) -> Any:
    """The columns that the network takes."""
    return split.remove_columns([name for name in split.column_names if name == "text"])
