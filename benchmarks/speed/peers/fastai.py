"""fastai as in its tutorials: ``vision_learner`` and ``fit_one_cycle``, frozen or not.

A frozen fastai body still trains its batch normalisation, and the head is fastai's own. The minimum area of
random crops is zoo's, which is also that of fastai's courses.
"""

from __future__ import annotations

from benchmarks.speed.peers.common import (
    Settings,
    TrainingTimer,
    options,
    print_result,
    start_from,
)


@options
def main(settings: Settings) -> None:
    """Train a ResNet-18 on a folder of images."""
    from fastai.vision import all as fastai
    from torchvision import models

    class Timed(fastai.Callback):
        def before_train(self) -> None:
            timer.start()

        def after_train(self) -> None:
            timer.stop(len(self.dls.train) * settings.batch)  # drops the last incomplete batch

    fastai.set_seed(settings.seed)
    loaders = fastai.ImageDataLoaders.from_folder(
        settings.data,
        train="train",
        valid="val",
        bs=settings.batch,
        num_workers=settings.workers,
        item_tfms=[fastai.RandomResizedCrop(settings.size, min_scale=0.35), fastai.FlipItem()],
        batch_tfms=fastai.Normalize.from_stats(*fastai.imagenet_stats),
    )
    timer = TrainingTimer()
    learner = fastai.vision_learner(
        loaders, models.resnet18, pretrained=False, normalize=False, metrics=fastai.accuracy
    )
    pretrained = start_from(models.resnet18(num_classes=5), settings.weights)
    learner.model[0].load_state_dict(fastai.create_body(pretrained, cut=-2).state_dict())
    if settings.probe:
        learner.freeze()
    learner.fit_one_cycle(settings.epochs, cbs=Timed())
    accuracies = [float(values[-1]) for values in learner.recorder.values]
    count = len(loaders.valid_ds)
    print_result(timer, accuracies, count, batch=settings.batch, lr=learner.lr)


if __name__ == "__main__":
    main()
