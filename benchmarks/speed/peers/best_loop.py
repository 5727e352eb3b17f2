"""A loop written by hand for one GPU, as the practical limit of training throughput.

bfloat16, channels-last, ``torch.compile``, fused AdamW, batches of 256, nothing else: no validation, schedule or
checkpoints. With ``--resident`` the decoded images, or the tokens, lie on the device, and images are cropped and
mirrored there; otherwise images come from worker processes. Texts always lie on the device.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.speed.peers.common import (
    MEAN,
    STD,
    Settings,
    TrainingTimer,
    device,
    image_loaders,
    options,
    print_result,
)
from benchmarks.speed.peers.trainer import tokenized
from benchmarks.speed.peers.trainer_images import prepared

RATE = 1e-3
STEPS = 10
"""Steps before timing, steps from which the number of timed steps follows, and the least number of those; one on a
processor, which is a trial only.
"""

Batches = Iterator[tuple[Any, Tensor]]


@options
@click.option("--resident", is_flag=True, help="Keep all data on the device.")
@click.option("--duration", default=8.0, help="Seconds to time.")
def main(settings: Settings, resident: bool, duration: float) -> None:
    """Train, and time the steps."""
    torch.manual_seed(settings.seed)
    torch.set_float32_matmul_precision("high")
    texts = settings.network == "bert"
    net = _text_network(settings) if texts else _image_network(settings)
    batches = _text_batches(settings) if texts else _image_batches(settings, resident)
    step = _step(net)
    steps = STEPS if _on_gpu() else 1
    _run(step, batches, steps)
    _synchronize()
    began = time.perf_counter()
    _run(step, batches, steps)
    _synchronize()
    seconds = (time.perf_counter() - began) / steps
    timer = TrainingTimer()
    timer.start()
    samples = _run(step, batches, max(steps, int(duration / seconds)))
    timer.stop(samples)
    timer.speeds *= 2  # the warm-up, which is not counted, and the timed steps
    print_result(timer, [], 0, batch=settings.batch, lr=RATE)


def _step(net: nn.Module) -> Callable[[Any, Tensor], None]:
    """A training step, compiled and in bfloat16 on a GPU."""
    compiled: Any = torch.compile(net, backend="inductor" if _on_gpu() else "eager")
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, fused=True)
    net.train()

    def step(inputs: Any, labels: Tensor) -> None:
        with torch.autocast(device().type, torch.bfloat16, enabled=_on_gpu()):
            loss = nn.functional.cross_entropy(compiled(inputs), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _run(step: Callable[[Any, Tensor], None], batches: Batches, steps: int) -> int:
    """Take ``steps`` steps; return their number of samples."""
    samples = 0
    for _ in range(steps):
        inputs, labels = next(batches)
        step(inputs, labels)
        samples += len(labels)
    return samples


def _on_gpu() -> bool:
    return device().type == "cuda"


def _synchronize() -> None:
    if _on_gpu():
        torch.cuda.synchronize()


# -- images --------------------------------------------------------------------------------------


def _image_network(settings: Settings) -> nn.Module:
    classes = len([path for path in (settings.data / "train").iterdir() if path.is_dir()])
    net: nn.Module = prepared(settings, classes).to(device(), memory_format=torch.channels_last)
    return net


def _image_batches(settings: Settings, resident: bool) -> Batches:
    return _resident(settings) if resident else _loaded(settings)


def _loaded(settings: Settings) -> Batches:
    """Batches from worker processes, copied from pinned memory; without end."""
    loaders = image_loaders(
        settings,
        pin_memory=_on_gpu(),
        persistent_workers=settings.workers > 0,
        prefetch_factor=4 if settings.workers else None,
        drop_last=len(list((settings.data / "train").glob("*/*"))) >= settings.batch,
    )
    while True:
        for images, labels in loaders["train"]:
            moved = images.to(device(), non_blocking=True, memory_format=torch.channels_last)
            yield moved, labels.to(device(), non_blocking=True)


def _resident(settings: Settings) -> Batches:
    """Batches of images that lie decoded on the device; without end."""
    paths = sorted((settings.data / "train").glob("*/*.jpg"))
    names = sorted({path.parent.name for path in paths})
    with ThreadPoolExecutor() as pool:
        images = torch.from_numpy(np.stack(list(pool.map(_decoded, paths)))).to(device())
    labels = torch.tensor([names.index(path.parent.name) for path in paths], device=device())
    mean, std = (255 * torch.tensor(v, device=device()).view(1, 3, 1, 1) for v in (MEAN, STD))
    size, side = settings.size, images.shape[1]
    while True:
        order = torch.randperm(len(paths), device=device())
        for chosen in _whole(order, settings.batch):
            top, left = torch.randint(0, side - size + 1, (2,)).tolist()
            batch = images[chosen, top : top + size, left : left + size].permute(0, 3, 1, 2)
            batch = batch.flip(3) if torch.rand(()) < 0.5 else batch
            yield (
                ((batch - mean) / std).contiguous(memory_format=torch.channels_last),
                labels[chosen],
            )


def _whole(order: Tensor, batch: int) -> list[Tensor]:
    """The batches without the last if it is smaller; at least one."""
    parts = list(order.split(batch))
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) < batch else parts


def _decoded(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


# -- texts ---------------------------------------------------------------------------------------


class _Logits(nn.Module):
    """A text classifier that returns its logits."""

    def __init__(self, weights: Path) -> None:
        import transformers

        super().__init__()
        self.net = transformers.AutoModelForSequenceClassification.from_pretrained(
            weights, num_labels=2
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of texts of equal length."""
        logits: Tensor = self.net(input_ids=tokens).logits
        return logits


def _text_network(settings: Settings) -> nn.Module:
    net: nn.Module = _Logits(settings.weights).to(device())
    return net


def _text_batches(settings: Settings) -> Batches:
    """Batches of tokens on the device; without end."""
    with tempfile.TemporaryDirectory() as folder:
        texts, _ = tokenized(settings, folder)
        tokens = torch.tensor(list(texts["train"]["input_ids"]), device=device())
        labels = torch.tensor(list(texts["train"]["label"]), device=device())
    while True:
        order = torch.randperm(len(tokens), device=device())
        for chosen in _whole(order, settings.batch):
            yield tokens[chosen], labels[chosen]


if __name__ == "__main__":
    main()
