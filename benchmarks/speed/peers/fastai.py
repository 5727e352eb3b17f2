"""fastai as its users write it: ``vision_learner``, then ``fit_one_cycle``, frozen or not.

A frozen fastai body still trains its batch normalisations, and the head is fastai's own. Crops
keep at least the share of the area that zoo's do, as fastai's courses do it.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.speed.peers.common import BATCH, WORKERS, Clock, options, start_from, tell


@options
def main(data: Path, weights: Path, epochs: int, seed: int, probe: bool) -> None:
    """Train a ResNet-18 on a folder of images."""
    from fastai.vision import all as fastai
    from torchvision import models

    class Timed(fastai.Callback):
        def before_train(self) -> None:
            clock.start()

        def after_train(self) -> None:
            clock.stop(len(self.dls.train) * BATCH)  # fastai leaves out a last part of a batch

    fastai.set_seed(seed)
    loaders = fastai.ImageDataLoaders.from_folder(
        data,
        train="train",
        valid="val",
        bs=BATCH,
        num_workers=WORKERS,
        item_tfms=[fastai.RandomResizedCrop(224, min_scale=0.35), fastai.FlipItem()],
        batch_tfms=fastai.Normalize.from_stats(*fastai.imagenet_stats),
    )
    clock = Clock()
    learner = fastai.vision_learner(
        loaders, models.resnet18, pretrained=False, normalize=False, metrics=fastai.accuracy
    )
    whole = start_from(models.resnet18(num_classes=5), weights)
    learner.model[0].load_state_dict(fastai.create_body(whole, cut=-2).state_dict())
    if probe:
        learner.freeze()
    learner.fit_one_cycle(epochs, cbs=Timed())
    accuracies = [float(values[-1]) for values in learner.recorder.values]
    tell(clock, accuracies, len(loaders.valid_ds))


if __name__ == "__main__":
    main()
