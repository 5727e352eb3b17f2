"""Other libraries on images, from the same weights of timm's EfficientNet-Lite0."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.equal_starts.job import NETWORK, Best, Job, Scores
from benchmarks.speed.peers.common import WORKERS, freeze

HALF = (0.5, 0.5, 0.5)
"""Mean and standard deviation with which the weights were trained."""


def trainer(job: Job) -> Scores:
    """Hugging Face's Trainer with its default learning rate, scaled to the batch size."""
    import transformers

    from benchmarks.equal_starts.texts import fitted
    from benchmarks.speed.peers.trainer_images import WithLoss, collate

    transformers.set_seed(job.seed)
    data = _datasets(job)
    return fitted(job, WithLoss(network(job)), data, collate)


def two_stage_loop(job: Job) -> Scores:
    """PyTorch's transfer-learning tutorial: an epoch of the head alone, then the whole network."""
    torch.manual_seed(job.seed)
    data = _datasets(job)
    loaders = {
        split: torch.utils.data.DataLoader(
            data[split], batch_size=job.batch, shuffle=split == "train", num_workers=WORKERS
        )
        for split in data
    }
    net: Any = network(job)
    best = Best()
    freeze(net)
    net.get_classifier().requires_grad_(True)
    _loop(net, loaders, 1, job, best)
    for parameter in net.parameters():
        parameter.requires_grad = True
    _loop(net, loaders, job.epochs, job, best)
    return Scores(best.val, _accuracy(best.restore(net), loaders["test"]))


def _loop(net: nn.Module, loaders: dict[str, Any], epochs: int, job: Job, best: Best) -> None:
    """The tutorial's loop: SGD with its learning rate, scaled to the batch size, and StepLR."""
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.001 * job.batch / 4, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    for _ in range(epochs):
        net.train()
        for inputs, labels in loaders["train"]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs), labels).backward()
            optimizer.step()
        scheduler.step()
        best.update(net, _accuracy(net, loaders["val"]))


def timm_recipe(job: Job) -> Scores:
    """timm's training recipe, see :mod:`benchmarks.speed.peers.timm_recipe`."""
    from timm.data import create_dataset, create_loader
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2
    from timm.utils import random_seed

    random_seed(job.seed)
    common = {
        "input_size": (3, job.size, job.size),
        "batch_size": job.batch,
        "mean": HALF,
        "std": HALF,
        "num_workers": WORKERS,
        "device": torch.device("cpu"),
    }
    loaders = {
        split: create_loader(
            create_dataset("", root=job.data, split=split, is_training=split == "train"),
            is_training=split == "train",
            interpolation="random" if split == "train" else "bicubic",
            crop_pct=0.875,
            **common,
        )
        for split in ("train", "val", "test")
    }
    net = network(job)
    optimizer = create_optimizer_v2(
        net, opt="sgd", lr=0.1 * job.batch / 256, momentum=0.9, weight_decay=2e-5
    )
    scheduler, _ = create_scheduler_v2(optimizer, sched="cosine", num_epochs=job.epochs)
    criterion, best = LabelSmoothingCrossEntropy(0.1), Best()
    for epoch in range(job.epochs):
        net.train()
        for inputs, labels in loaders["train"]:
            optimizer.zero_grad()
            criterion(net(inputs), labels).backward()
            optimizer.step()
        scheduler.step(epoch + 1)
        best.update(net, _accuracy(net, loaders["val"]))
    return Scores(best.val, _accuracy(best.restore(net), loaders["test"]))


def fastai(job: Job) -> Scores:
    """fastai's ``fine_tune``, with its defaults: an epoch of its head alone, then all."""
    from fastai.vision import all as fastai

    fastai.set_seed(job.seed)
    loaders = fastai.ImageDataLoaders.from_folder(
        job.data,
        train="train",
        valid="val",
        bs=job.batch,
        num_workers=WORKERS,
        item_tfms=[fastai.RandomResizedCrop(job.size, min_scale=0.35), fastai.FlipItem()],
        batch_tfms=fastai.Normalize.from_stats(HALF, HALF),
    )
    learner = fastai.vision_learner(
        loaders, NETWORK, pretrained=False, normalize=False, metrics=fastai.accuracy,
        path=job.work,
    )  # fmt: skip
    learner.model[0].model.load_state_dict(_backbone(job))
    learner.freeze()
    best = fastai.SaveModelCallback(monitor="accuracy", reset_on_fit=False)  # of both stages
    learner.fine_tune(job.epochs, cbs=best)
    files = fastai.get_image_files(job.data / "test")
    val = learner.validate()[1]
    test = learner.validate(dl=loaders.test_dl(files, with_labels=True))[1]
    return Scores(float(val), float(test))


def network(job: Job) -> nn.Module:
    """The network with the pretrained weights and a new head."""
    import timm

    classes = len(list((job.data / "train").iterdir()))
    net: nn.Module = timm.create_model(NETWORK, num_classes=classes)
    missing, unexpected = net.load_state_dict(_backbone(job), strict=False)
    assert set(missing) == {"classifier.weight", "classifier.bias"}, missing
    assert not unexpected, unexpected
    return net


def _backbone(job: Job) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    state = load_file(job.start)
    return {name: tensor for name, tensor in state.items() if not name.startswith("classifier.")}


def _datasets(job: Job) -> dict[str, Any]:
    """The splits, with the transforms of PyTorch's tutorial and of the Trainer's example script."""
    from torchvision import datasets
    from torchvision import transforms as t

    normalised = [t.ToTensor(), t.Normalize(HALF, HALF)]
    augmented = t.Compose([t.RandomResizedCrop(job.size), t.RandomHorizontalFlip(), *normalised])
    plain = t.Compose([t.Resize(job.size * 256 // 224), t.CenterCrop(job.size), *normalised])
    return {
        split: datasets.ImageFolder(str(job.data / split), augmented if split == "train" else plain)
        for split in ("train", "val", "test")
    }


@torch.no_grad()
def _accuracy(net: nn.Module, loader: Any) -> float:
    net.eval()
    correct = seen = 0
    for inputs, labels in loader:
        correct += int((net(inputs).argmax(1) == labels).sum())
        seen += len(labels)
    return correct / seen
